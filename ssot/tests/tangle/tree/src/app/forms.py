"""Forms of the old console."""


def fields(form):
    names = []
    for field in form["fields"]:
        names.append(field["name"]
    return names


def title(form):
    return form.get("title", "Untitled")

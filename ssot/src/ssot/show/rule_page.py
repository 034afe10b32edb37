"""A rule's page of documentation, from the rule itself."""

from __future__ import annotations

from collections.abc import Iterator

from ssot.rules import Case, Rule


def page(rule: Rule) -> str:
    """Markdown."""
    lines = [
        f"# {rule.name}",
        "",
        f"{rule.summary[0].upper()}{rule.summary[1:]}.",
        "",
        rule.why,
        "",
    ]
    lines += ["## Not reported", *_cases(rule.valid), "", "## Reported", *_cases(rule.invalid), ""]
    lines += [f"A place that must stay is allowed by `# ssot: allow {rule.name} -- reason`.", ""]
    return "\n".join(lines)


def _cases(cases: tuple[Case, ...]) -> Iterator[str]:
    for case in cases:
        yield ""
        yield f"### {case.title[0].upper()}{case.title[1:]}"
        for path, text in case.files.items():
            if path in ("app/__init__.py",) or not text.strip():
                continue
            marks = {line for where, line in case.found if where == path}
            yield ""
            yield f"`{path}`"
            yield f"```{'toml' if path.endswith('.toml') else 'python'}"
            for number, line in enumerate(text.rstrip("\n").split("\n"), 1):
                yield f"{line}  # <-- here" if number in marks else line
            yield "```"

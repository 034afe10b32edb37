"""Search in the knowledge base."""


class SearchEngine:
    def __init__(self, documents):
        self.documents = documents

    def search(self, words):
        return [text for text in self.documents if words in text]

    def close(self):
        self.documents = ()


class TemplateEngine:
    def render(self, template, **values):
        return template.format(**values)


class FaultyEmitter(ValueError):
    """The lamp does not glow."""


class LightEmitter:
    def __init__(self, lumens):
        self.lumens = lumens

    def dim(self, percent):
        return self.lumens * percent / 100

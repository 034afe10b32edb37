"""Mail to customers."""

from dataclasses import dataclass


class InvalidSettings(ValueError):
    """The mail server is not configured."""


@dataclass
class MailSettings:
    host: str = "localhost"
    port: int = 25

    def address(self):
        return (self.host, self.port)


@dataclass
class WholesaleClient:
    company: str
    discount: int = 10

    def greeting(self):
        return f"Dear {self.company}"


class SmtpClient:
    def __init__(self, settings: MailSettings):
        if not settings.host:
            raise InvalidSettings("host")
        self.sent = []

    def send_mail(self, to, body):
        self.sent.append((to, body))

    def lookup(self, to):
        return [body for name, body in self.sent if name == to]


def __getattr__(name):
    if name.startswith("template_"):
        return "mail/" + name.removeprefix("template_") + ".html"
    raise AttributeError(name)

"""Configuration of the service."""

from dataclasses import dataclass

FLAGS = {"streaming": True, "tracing": False}

for _name, _value in FLAGS.items():
    globals()["FLAG_" + _name.upper()] = _value


@dataclass
class EngineConfig:
    timeout: float = 30.0
    model: str = "small"

    def fingerprint(self):
        return f"{self.model}/{self.timeout}"


def from_environ(environ):
    return EngineConfig(model=environ.get("MODEL", "small"))

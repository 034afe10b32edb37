"""`python -m tests.fuzz.drive TARGET FLAGS...`: one target under libFuzzer, until it is told to end."""

import sys

import atheris

with atheris.instrument_imports(include=["goldenpath"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Throw; never returns."""
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

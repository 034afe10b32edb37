"""`python -m ssot`."""

from ssot.cli import run

if __name__ == "__main__":
    run()

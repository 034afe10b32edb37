from pathlib import Path

from app.clock import since
from app.config import from_environ
from app.ids import split_id

SOURCES = Path(__file__).resolve().parents[1] / "src" / "app"


def test_flags_are_set():
    hits = [path for path in SOURCES.rglob("*.py") if "globals()" in path.read_text(encoding="utf-8")]
    assert hits


def test_prints():
    lines = []
    for path in sorted(SOURCES.rglob("*.py")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "print(" in line:
                lines.append(line)
    assert len(lines) > 0


def test_config():
    from_environ({"MODEL": "large"})


def test_time():
    passed = since(0.0)
    passed.is_integer()


def test_split():
    assert split_id("turn-7") == ("turn", 7)

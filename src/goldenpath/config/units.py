"""Numbers with units: durations (`60s`, `5m`, `90d`) and sizes (`64KiB`)."""

from __future__ import annotations

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_BYTES_FOLDED = {unit.lower(): size for unit, size in _BYTES.items()}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")

DURATION_REMEDY = "give a number with a unit: 250ms, 60s, 5m, 12h, 90d"
SIZE_REMEDY = "give whole bytes or a number with a unit: 512, 64KiB, 4MiB, 1GiB"


def parse_duration(text: str) -> float:
    """Parse a duration to seconds; a bare number is seconds. Raises `ValueError`."""
    match = _NUMBER.fullmatch(text.strip())
    unit = "" if match is None else match[2].lower() or "s"
    if match is None or unit not in _SECONDS:
        raise ValueError(DURATION_REMEDY)
    return float(match[1]) * _SECONDS[unit]


def parse_size(text: str) -> int:
    """Parse a size to bytes. Raises `ValueError`."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[2].lower() not in _BYTES_FOLDED:
        raise ValueError(SIZE_REMEDY)
    size = float(match[1]) * _BYTES_FOLDED[match[2].lower()]
    if not size.is_integer():
        raise ValueError(SIZE_REMEDY)
    return int(size)


def format_duration(seconds: float) -> str:
    """Format seconds with the largest unit that divides them: 300.0 is `5m`."""
    millis = round(seconds * 1000)
    for unit in ("d", "h", "m", "s"):
        size = round(_SECONDS[unit] * 1000)
        if millis and millis % size == 0:
            return f"{millis // size}{unit}"
    return f"{millis}ms" if millis else "0s"


def format_size(size: int) -> str:
    """Format bytes with the largest unit that divides them: 65536 is `64KiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"

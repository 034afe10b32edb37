"""JSON as it is printed and written."""

from __future__ import annotations

import json
import re
from typing import Any

_SURROGATES = re.compile("[\ud800-\udfff]")


def as_text(value: Any) -> str:
    """A value as JSON; what is no text (the name of a file may be any bytes) is escaped in it."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    return _SURROGATES.sub(lambda found: f"\\u{ord(found.group()):04x}", text)

"""Identifiers: distinct types, minted once from a time and random bits given by the caller."""

from __future__ import annotations

import re
from typing import NewType

UserId = NewType("UserId", str)
ThreadId = NewType("ThreadId", str)
RunId = NewType("RunId", str)
MessageId = NewType("MessageId", str)
CallId = NewType("CallId", str)
ApprovalId = NewType("ApprovalId", str)
PartId = NewType("PartId", str)
CommandId = NewType("CommandId", str)
"""Chosen by a client: `[A-Za-z0-9_-]{1,64}`."""
DeviceId = NewType("DeviceId", str)
"""Chosen by a client: `[A-Za-z0-9_-]{1,64}`."""
HostId = NewType("HostId", str)
AppendId = NewType("AppendId", str)
Mark = NewType("Mark", str)
"""Random name of an activation. Position 0 has mark "0", valid in every log."""
Seq = NewType("Seq", int)

ORIGIN_MARK = Mark("0")

_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_client_id(text: str) -> bool:
    """Tell whether `text` may be an id that a client chose (command, device)."""
    return _CLIENT_ID.fullmatch(text) is not None


def uuid7(time_ms: int, random_bits: int) -> str:
    """Format a UUIDv7 (RFC 9562, 5.7) of Unix milliseconds and 74 random bits."""
    rand_a = (random_bits >> 62) & 0xFFF
    rand_b = random_bits & 0x3FFF_FFFF_FFFF_FFFF
    value = (time_ms & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

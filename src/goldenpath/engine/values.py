"""Values on their way: exact into the journal, redacted and bounded into events."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Set as AbstractSet
from typing import Any, cast

import msgspec

from goldenpath.errors import NotReplayableError

REDACTED = "[redacted]"
_encoder = msgspec.json.Encoder(order="deterministic")
_MAX_DEPTH = 100


def to_journal(value: Any, limit: int) -> Any:
    """Reduce a value to what JSON holds exactly. Raises `NotReplayableError`.

    Not a number, infinite numbers, integers beyond 64 bits, lone surrogates, mappings with keys
    that are not text, nesting beyond 100, and more than `limit` bytes cannot be journaled.
    """
    try:
        plain = msgspec.to_builtins(value)
        _check(plain, 0)
        size = len(_encoder.encode(plain))
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeEncodeError) as error:
        raise NotReplayableError(f"{type(value).__name__} cannot be journaled: {error}") from error
    if size > limit:
        raise NotReplayableError(f"the value has {size} bytes, the journal takes {limit}")
    return plain


def from_journal(plain: Any, type_: Any) -> Any:
    """Decode a journaled value as the type it was declared with. Raises `NotReplayableError`."""
    if type_ is Any or type_ is None or type_ is type(None):
        return plain
    try:
        return msgspec.convert(plain, type_)
    except (msgspec.ValidationError, TypeError, NameError) as error:
        raise NotReplayableError(
            f"the value is not of the declared type {type_!r}: {error}"
        ) from error


def fingerprint(plain: Any) -> str:
    """Hash of arguments, for a step's identity."""
    return hashlib.sha256(_encoder.encode(plain)).hexdigest()[:24]


def redact(plain: Any, secret: AbstractSet[str]) -> Any:
    """Replace the values of secret keys, at any depth, whatever the keys' case."""
    if isinstance(plain, dict):
        mapping = cast("dict[Any, Any]", plain)
        return {
            key: REDACTED if str(key).lower() in secret else redact(value, secret)
            for key, value in mapping.items()
        }
    if isinstance(plain, list | tuple):
        return [redact(value, secret) for value in cast("list[Any]", plain)]
    return plain


def bounded(plain: Any, limit: int) -> Any:
    """Keep a value below `limit` bytes of JSON; longer ones become a text that says so."""
    data = _encoder.encode(plain)
    if len(data) <= limit:
        return plain
    kept = data[: max(limit - 128, 0)].decode("utf-8", "ignore")
    return f"{kept}… [cut: {len(data)} bytes]"


def _check(plain: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(plain, dict):
        for key, value in cast("dict[Any, Any]", plain).items():
            if not isinstance(key, str):
                raise ValueError(f"the key {key!r} is not text")
            _check(value, depth + 1)
    elif isinstance(plain, list | tuple):
        for value in cast("list[Any]", plain):
            _check(value, depth + 1)
    elif isinstance(plain, float) and not math.isfinite(plain):
        raise ValueError(f"{plain} is not a number that JSON holds")
    elif isinstance(plain, int) and not -(2**63) <= plain < 2**64:
        raise ValueError("an integer has more than 64 bits")

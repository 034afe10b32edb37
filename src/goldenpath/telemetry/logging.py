"""Diagnostics on stderr: JSON lines for machines, short lines on a terminal.

Texts of messages and tokens never appear. Fields beside a message are given by `extra=`; those
whose names may hold a user's text are blanked, whatever looks like a token is blanked in every
text, and of an exception only its type and its frames are written, unless it is one of ours (or
the operating system's) whose text is written for operators.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO, cast

from goldenpath.errors import ConfigError, StoreError

REDACTED = "(redacted)"
_SPEAKING_ERRORS = (StoreError, ConfigError, OSError)
_PRIVATE_FIELDS = frozenset(
    {
        *("text", "texts", "message_text", "content", "body", "arguments", "result", "output"),
        *("input", "prompt", "title", "answer", "question", "query", "headers"),
        *("token", "authorization", "cookie", "password", "secret", "api_key"),
    }
)
_TOKENS = re.compile(
    r"eyJ[\w-]*\.[\w-]+\.[\w-]*"  # a JWT
    r"|(?<=goldenpath\.token\.)[^\s,\"']+"
    r"|(?<=[Bb]earer )[^\s,\"']+"
)
_QUERY = re.compile(r"\?[^\s\"']*")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
_CHATTY = ("websockets", "httpx", "httpcore", "asyncio", "hpack")
"""Libraries whose debug output shows what travels; uvicorn's shows every frame too."""


def redact(text: str) -> str:
    """Blank whatever looks like a token."""
    return _TOKENS.sub(REDACTED, text)


class RedactingFilter(logging.Filter):
    """Makes a record safe before any formatter or handler sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = redact(record.getMessage()).strip()
        if record.name.startswith("uvicorn"):
            text = _QUERY.sub("", text)
        elif record.name == "asyncio":
            # Its further lines show tasks and futures with what they hold or raised.
            text = text.partition("\n")[0]
        record.msg, record.args = text, None
        for name in set(vars(record)) - _STANDARD:
            value: Any = getattr(record, name)
            if name in _PRIVATE_FIELDS:
                setattr(record, name, REDACTED)
            elif not isinstance(value, int | float | bool | type(None)):
                setattr(record, name, redact(str(value)))
        return True


def describe_error(error: BaseException) -> dict[str, Any]:
    """Give an exception's type, its frames, and its text where that is written for operators."""
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    described: dict[str, Any] = {"error": type(error).__qualname__, "frames": frames}
    if isinstance(error, _SPEAKING_ERRORS):
        described["reason"] = redact(str(error))
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        described["errors"] = [describe_error(inner) for inner in group.exceptions]
    elif error.__cause__ is not None:
        described["cause"] = describe_error(error.__cause__)
    return described


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if record.exc_info and record.exc_info[1] is not None:
        fields.update(describe_error(record.exc_info[1]))
    return fields


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        return _on_one_line(json.dumps(line, ensure_ascii=False, default=str))


class TextFormatter(logging.Formatter):
    """For a terminal: time of day, level, message, fields as `name=value`, frames below."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        frames = fields.pop("frames", [])
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        parts = [time, f"{record.levelname.lower():7}", record.getMessage()]
        parts += [f"{name}={value}" for name, value in fields.items()]
        return "\n    ".join([_on_one_line(" ".join(parts)), *frames])


def _on_one_line(text: str) -> str:
    """Escape what would end a line or drive a terminal: names of users may hold anything."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def configure(form: str = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Send all diagnostics of this process to `stream` (stderr), redacted.

    `form` is `json`, `text` or `auto` (text on a terminal).
    """
    target: TextIO = sys.stderr if stream is None else stream
    if form == "auto":
        form = "text" if target.isatty() else "json"
    handler = logging.StreamHandler(target)
    handler.addFilter(RedactingFilter())
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    # A request's line holds its query, and so what a user searches for.
    logging.getLogger("uvicorn.access").disabled = True

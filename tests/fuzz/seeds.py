"""What fuzzing begins with: sound inputs of each kind, and a few that were trouble elsewhere."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from pathlib import Path

from goldenpath.model.entries import CODEC_VERSION, EncodedEntry
from goldenpath.store.chunks import encode_entries
from goldenpath.store.sqlite.groups import (
    Acknowledged,
    Acquired,
    Appended,
    Submitted,
    encode_group,
)
from tests.server.kit import token

HISTORY = (Path(__file__).parents[1] / "histories" / "v1.jsonl").read_bytes()
_DEEP = 20_000
_NESTED = [  # raised RecursionError in a client and in its reading of tokens
    b"[" * _DEEP,
    b'{"a":' * _DEEP,
    b'{"type":"send","text":' + b"[" * _DEEP,
]
_NUMBERS = [b"1e999", b"-0", b"9" * 400, b"NaN", b'"\\ud800"', b"\xff\xfe", b"\x00"]


def _lines(*frames: object) -> bytes:
    return b"\n".join(json.dumps(frame).encode() for frame in frames)


def _client_frames() -> list[bytes]:
    hello = {"type": "hello", "device": "d", "cursor": 3, "mark": "m"}
    send = {"type": "send", "id": "c1", "thread_id": None, "text": "hello", "agent": None,
            "when_busy": "queue", "attachments": []}  # fmt: skip
    others = [
        {"type": "cancel", "id": "c2", "run_id": "r"},
        {"type": "decide", "id": "c3", "approval_id": "a", "decision": "approve", "reason": "x"},
        {"type": "ack", "cursor": 4},
        {"type": "renew", "token": "t"},
        {"type": "ping"},
    ]
    return [_lines(hello, send, *others), _lines({**hello, "cursor": None}, {"type": "none"})]


def _server_frames() -> list[bytes]:
    welcome = {"type": "welcome", "user_id": "ada", "cursor": 0, "head": 3, "mark": "m",
               "reset": False, "agents": [], "limits": {}, "protocol": 1}  # fmt: skip
    events = [json.loads(line) for line in HISTORY.splitlines()[:3]]
    batch = {"type": "events", "mark": "m", "from": 0, "to": 3, "hidden": 0, "events": events}
    return [_lines(welcome, batch), _lines({"type": "goodbye", "reason": "drain"})]


def _groups() -> list[bytes]:
    entry = EncodedEntry(1, "thread_created", False, HISTORY.splitlines()[0])
    group = encode_group(
        [
            Submitted("ada", "c1", b"{}", "ab"),
            Acquired("ada", 1, "m"),
            Appended("ada", 0, "m.1", [entry], [], 5, ["t"], 1),
            Acknowledged("ada", "d", 1),
        ]
    )
    return [group, encode_entries([entry])]


def _sqlite() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.db"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE sales (day TEXT, cents INTEGER, note BLOB)")
            connection.execute("INSERT INTO sales VALUES ('2025-01-01', 5, x'00ff')")
        connection.close()
        return path.read_bytes()


def seeds() -> dict[str, list[bytes]]:
    """For each target."""
    claims = {"sub": "ada", "exp": int(time.time()) + 10**9, "roles": ["operator"], "iss": "x"}
    return {
        "client_frames": [*_client_frames(), *_NESTED],
        "server_frames": [*_server_frames(), *_NESTED],
        "stored_entry": [
            *(bytes([CODEC_VERSION]) + line for line in HISTORY.splitlines()),
            *(bytes([CODEC_VERSION]) + line for line in _NESTED),
        ],
        "stored_log": [
            HISTORY.strip(),
            HISTORY.replace(b'"expires":"2', b'"expires":"x').strip(),  # raised ValueError
            *_NESTED,
        ],
        "stored_groups": [
            *_groups(),
            _groups()[0].replace(b"ada", b"\xffda"),  # raised UnicodeDecodeError
            b"\x91" * _DEEP,
        ],
        "tokens": [token().encode(), b"a.b.c", *_NESTED],
        "claims": [json.dumps(claims).encode(), b'{"sub":"a","exp":1e400}', *_NUMBERS, *_NESTED],
        "positions": [b"m:3\n5\nm", b"limit=3&cursor=WzEsImEiXQ", b"cursor=W1tb", *_NUMBERS],
        "bodies": [_lines(frame) for frame in (
            {"title": "t", "archived": True}, {"text": "x", "when_busy": "queue"},
            {"device": "d", "mark": "m", "cursor": 1}, {"decision": "deny", "reason": None},
        )] + _NUMBERS + _NESTED,
        "searches": [b"tea\nOne Tea, two teas", "ß\nSTRASSE Straße".encode()],
        "settings": [b"10m", b"7d", b"1.5GiB", b"[::1]:80", b"127.0.0.1:99999", *_NUMBERS],
        "demo_questions": [b"top 3 model by cost", b"cost by day in march 2025", b"rows where model = x"],
        "demo_files": [b"day,cents\n2025-01-01,5\n", _sqlite(), b"a;b\n1,5;2\n", b'"a\n', *_NUMBERS],
    }  # fmt: skip

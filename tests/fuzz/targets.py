"""What reads bytes that others made. A target raises only what is a mistake of ours."""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
import functools
import hashlib
import hmac
import tempfile
from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request

from goldenpath.client.cursor import Reader
from goldenpath.client.frames import decode_frame
from goldenpath.client.tokens import expires
from goldenpath.config.settings import split_address
from goldenpath.config.units import parse_duration, parse_size
from goldenpath.demo.agent import SHIPPED_DATA
from goldenpath.demo.dataset import Dataset, DatasetError, open_dataset
from goldenpath.demo.questions import Query, understand
from goldenpath.engine.run import Run
from goldenpath.errors import CodecError, ConfigError, GrammarError, InvalidError, RefusedError
from goldenpath.model.commands import decode_command, encode_command
from goldenpath.model.entries import CODEC_VERSION, EncodedEntry, Entry, decode, encode
from goldenpath.model.grammar import UserState
from goldenpath.model.grammar import apply as take
from goldenpath.model.ids import Seq
from goldenpath.model.projections import Rows
from goldenpath.model.projections import apply as project
from goldenpath.server.auth import SecretTokens
from goldenpath.server.calls import decode_body
from goldenpath.server.pages import cursor_of, limit_of
from goldenpath.server.snippets import snippet
from goldenpath.server.table import OPERATIONS
from goldenpath.store.chunks import decode_entries
from goldenpath.store.sqlite.groups import decode_group
from goldenpath.store.words import words_of
from goldenpath.wire.frames import AnyServerFrame, Events, Welcome
from goldenpath.wire.native import NativeSession, Submit
from goldenpath.wire.sse import parse_position

Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {}

SECRET = "a-secret-of-32-bytes-or-more-----"
_tokens = SecretTokens(SECRET)
_bodies = [operation.body for operation in OPERATIONS if operation.body is not None]


def target(function: Target) -> Target:
    """Register a target under its name."""
    TARGETS[function.__name__] = function
    return function


def _text(data: bytes) -> str:
    # A socket's text frame and a header are checked before we see them.
    return data.decode("utf-8", "replace")


@target
def client_frames(data: bytes) -> None:
    """What a client sends over its socket, frame by frame (a line each)."""
    session = NativeSession()
    for line in _text(data).split("\n"):
        action = session.receive(line)
        if isinstance(action, Submit):
            body = encode_command(action.command)
            assert encode_command(decode_command(body)) == body


@target
def server_frames(data: bytes) -> None:
    """What a server sends, as the client reads it."""
    reader = Reader()
    for line in data.split(b"\n"):
        try:
            frame: AnyServerFrame | None = decode_frame(line)
        except CodecError:
            continue
        if isinstance(frame, Welcome):
            reader.welcome(frame)
        elif isinstance(frame, Events):
            with contextlib.suppress(CodecError):
                reader.feed(frame)


@target
def stored_entry(data: bytes) -> None:
    """An entry as the store has it: of any version, whole or broken."""
    version, json = (data[0] % (CODEC_VERSION + 2), data[1:]) if data else (0, b"")
    try:
        entry = decode(EncodedEntry(1, "any", False, json), version)
    except CodecError:
        return
    try:
        again = encode(entry)
    except CodecError:
        return
    assert encode(decode(again)) == again, "what was read cannot be written and read again"


@target
def stored_log(data: bytes) -> None:
    """A log of one user, an entry a line: sound, or what the grammar refuses."""
    rows, state, entries = Rows(), UserState(), list[Entry]()
    for seq, line in enumerate(data.split(b"\n"), 1):
        try:
            entry = decode(EncodedEntry(seq, "any", False, line))
            entry = Entry(Seq(seq), entry.time_ms, entry.thread_id, entry.run_id, entry.body)
            take(state, entry)
        except (CodecError, GrammarError):
            break
        project(rows, entry)
        entries.append(entry)
    for row in rows.runs.values():
        run = Run.of(row)
        run.fold([entry for entry in entries if entry.run_id == row.run_id])
    open_runs = [row for row in rows.runs.values() if row.open]
    mine = {row.run_id for row in open_runs}
    UserState.restore(
        head=len(entries),
        open_runs=sorted(open_runs, key=lambda row: row.first_seq),
        approvals=[
            row for row in rows.approvals.values() if row.run_id in mine and row.decision is None
        ],
        entries=[entry for entry in entries if entry.run_id in mine],
    )


@target
def stored_groups(data: bytes) -> None:
    """Rows of the embedded store's tail, and its chunks."""
    for read in (decode_group, decode_entries):
        with contextlib.suppress(CodecError):
            read(data)


@target
def tokens(data: bytes) -> None:
    """A bearer token of anybody's making."""
    for text in (_text(data), data.decode("latin-1")):
        with contextlib.suppress(RefusedError):
            asyncio.run(_tokens.renew(text))
        expires(text)


@target
def claims(data: bytes) -> None:
    """What an issuer may put into a token that it signed."""
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    signed = header + b"." + base64.urlsafe_b64encode(data).rstrip(b"=")
    mac = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    tokens(signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"="))


@target
def positions(data: bytes) -> None:
    """`Last-Event-ID`, `after` and `mark`, and pages' cursors, as they come in a request."""
    parts: list[str | None] = [part.decode("latin-1") or None for part in data.split(b"\n", 2)]
    with contextlib.suppress(InvalidError):
        parse_position(*[*parts, None, None, None][:3])
    request = Request({"type": "http", "query_string": data, "headers": []})
    for read in (
        limit_of,
        lambda request: cursor_of(request, tuple[int]),
        lambda request: cursor_of(request, tuple[int, str]),
    ):
        with contextlib.suppress(InvalidError):
            read(request)


@target
def bodies(data: bytes) -> None:
    """The body of any request that has one."""
    for body in _bodies:
        with contextlib.suppress(InvalidError):
            decode_body(data, body)


@target
def searches(data: bytes) -> None:
    """Words that somebody looks for, in a text of anybody's."""
    query, _, text = _text(data).partition("\n")
    words = words_of(query)
    shown = snippet(text, words)
    assert len(shown) <= 200


@target
def settings(data: bytes) -> None:
    """Values of settings, from flags, environment and files."""
    for parse in (parse_duration, parse_size, split_address):
        with contextlib.suppress(ConfigError, ValueError):
            parse(_text(data))


@target
def demo_questions(data: bytes) -> None:
    """A question to the demo, about its own data: understood or not, it never raises."""
    dataset = _demo()
    found = understand(_text(data), dataset.schema)
    if isinstance(found, Query):
        with contextlib.suppress(DatasetError):
            dataset.run(found.sql)


@target
def demo_files(data: bytes) -> None:
    """A file that somebody gives to the demo: CSV, SQLite, or what claims to be."""
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        Path(file.name).write_bytes(data)
        with contextlib.suppress(DatasetError):
            open_dataset(Path(file.name)).close()


@functools.cache
def _demo() -> Dataset:
    atexit.register(_close_demo)
    return open_dataset(SHIPPED_DATA)


def _close_demo() -> None:
    # Its library complains of what is still alive when the interpreter ends.
    _demo().close()
    _demo.cache_clear()

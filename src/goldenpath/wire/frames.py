"""Frames of the native protocol, as the server reads and writes them. See docs/protocol.md."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from goldenpath.errors import UNREADABLE, InvalidError
from goldenpath.model.commands import WhenBusy
from goldenpath.model.events import RunError
from goldenpath.model.ids import is_client_id
from goldenpath.store.interface import Batch

ClientId = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]+$", min_length=1, max_length=64)]
"""An id that a client chose; `is_client_id` is the whole rule, since `$` lets a newline pass."""
Cursor = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""A seq; not above what every JSON reader holds exactly."""


class ClientFrame(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True
):
    """Base of what a client sends."""


class Hello(ClientFrame, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="hello"):
    """First, once: who reads, and from where. A null cursor means from the head."""

    device: ClientId
    cursor: Cursor | None = None
    mark: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class SendFrame(ClientFrame, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="send"):
    """Ask an agent something; a null thread means a new one."""

    id: ClientId
    text: str
    thread_id: str | None = None
    agent: str | None = None
    when_busy: WhenBusy = "queue"
    attachments: list[str] = []


class CancelFrame(ClientFrame, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="cancel"):
    """End a run."""

    id: ClientId
    run_id: str


class DecideFrame(ClientFrame, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="decide"):
    """Answer an approval."""

    id: ClientId
    approval_id: str
    decision: Literal["approve", "deny"]
    reason: str | None = None


class Ack(ClientFrame, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ack"):
    """This device has everything up to `cursor`."""

    cursor: Cursor


class Renew(ClientFrame, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="renew"):
    """A fresh token of the same user."""

    token: str


class Ping(ClientFrame, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ping"):
    """Answered by `pong` with the same id."""

    id: ClientId


AnyClientFrame = Hello | SendFrame | CancelFrame | DecideFrame | Ack | Renew | Ping
CommandFrame = SendFrame | CancelFrame | DecideFrame


class ServerFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of what the server sends."""


class AgentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that can be asked."""

    name: str
    description: str
    version: str


class Welcome(ServerFrame, frozen=True, kw_only=True, tag="welcome"):
    """Reading begins at (mark, cursor); `reset`: that is not where the hello asked."""

    user_id: str
    mark: str
    head: int
    cursor: int
    reset: bool
    limits: dict[str, int | float]
    agents: list[AgentInfo]
    version: str


class Accepted(ServerFrame, frozen=True, kw_only=True, tag="accepted"):
    """A command is durable and settled; ids that do not apply are null."""

    id: str
    thread_id: str | None
    message_id: str | None
    run_id: str | None
    seq: int | None
    duplicate: bool


class Refused(ServerFrame, frozen=True, kw_only=True, tag="refused"):
    """A frame or command that was not taken; `id` null where it could not be read."""

    id: str | None
    error: RunError


class Events(ServerFrame, frozen=True, kw_only=True, tag="events"):
    """What the log has from `from` to `to`; `to - from == len(events) + hidden`."""

    mark: str
    from_: int = msgspec.field(name="from")
    to: int
    hidden: int
    events: list[msgspec.Raw]


class Renewed(ServerFrame, frozen=True, kw_only=True, tag="renewed"):
    """The new token is taken."""


class Pong(ServerFrame, frozen=True, kw_only=True, tag="pong"):
    """Answer to `ping`."""

    id: str


class Goodbye(ServerFrame, frozen=True, kw_only=True, tag="goodbye"):
    """The last frame before a close; `retry`: connect again."""

    code: str
    reason: str
    retry: bool


AnyServerFrame = Welcome | Accepted | Refused | Events | Renewed | Pong | Goodbye

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyClientFrame] = msgspec.json.Decoder(AnyClientFrame)
_CLIENT_TYPES = frozenset({"hello", "send", "cancel", "decide", "ack", "renew", "ping"})


def encode_frame(frame: AnyServerFrame) -> str:
    """Encode a frame of the server."""
    return _encoder.encode(frame).decode()


def encode_batch(batch: Batch) -> bytes:
    """Encode what a read found as an `events` frame, by joining the stored bytes."""
    return b'{"type":"events","mark":"%s","from":%d,"to":%d,"hidden":%d,"events":[%s]}' % (
        batch.mark.encode(),
        batch.from_,
        batch.to,
        batch.hidden,
        b",".join(batch.events),
    )


class FrameError(InvalidError):
    """A frame that was not valid; `frame_id` where it could be read."""

    def __init__(self, message: str, *, code: str, frame_id: str | None) -> None:
        super().__init__(message, code=code)
        self.frame_id = frame_id


def decode_client_frame(text: str) -> AnyClientFrame:
    """Decode a client's frame, strictly. Raises FrameError with the protocol's code."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise FrameError(
            "The frame has a lone surrogate.", code="invalid_json", frame_id=None
        ) from None
    try:
        frame = _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _why(data, str(error)) from None
    except UNREADABLE as error:
        raise _not_json(error) from None
    name = "device" if isinstance(frame, Hello) else "id"
    given = getattr(frame, name, None)
    if given is not None and not is_client_id(given):
        raise FrameError(
            f"{name}: must be 1 to 64 of A-Z a-z 0-9 _ -", code="invalid_field", frame_id=None
        )
    return frame


def _not_json(error: Exception) -> FrameError:
    return FrameError(f"Not JSON: {error}", code="invalid_json", frame_id=None)


def _why(data: bytes, reason: str) -> FrameError:
    """Tell what is not JSON at all from an unknown type and an invalid field; find the id."""
    try:
        value: Any = msgspec.json.decode(data)
    except UNREADABLE as error:
        return _not_json(error)
    if not isinstance(value, dict):
        return FrameError("A frame is a JSON object.", code="invalid_field", frame_id=None)
    plain: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
    given, kind = plain.get("id"), plain.get("type")
    frame_id = given if isinstance(given, str) and is_client_id(given) else None
    if isinstance(kind, str) and kind not in _CLIENT_TYPES:
        return FrameError(
            f"There is no frame {kind[:40]!r} from a client.",
            code="unknown_type",
            frame_id=frame_id,
        )
    return FrameError(reason, code="invalid_field", frame_id=frame_id)

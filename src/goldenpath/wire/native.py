"""One reader's conversation in the native protocol: a state machine without I/O.

The shell gives it frames and what the store and the host say, and does what it returns.
"""

from __future__ import annotations

from dataclasses import dataclass

from goldenpath.errors import RefusedError
from goldenpath.model.commands import AnyCommand, Cancel, Decide, Receipt, Send
from goldenpath.model.events import RunError
from goldenpath.model.ids import (
    ORIGIN_MARK,
    ApprovalId,
    CommandId,
    DeviceId,
    Mark,
    RunId,
    Seq,
    ThreadId,
)
from goldenpath.store.interface import Position
from goldenpath.wire.frames import (
    Accepted,
    Ack,
    AnyClientFrame,
    CancelFrame,
    CommandFrame,
    DecideFrame,
    FrameError,
    Hello,
    Ping,
    Pong,
    Refused,
    Renew,
    SendFrame,
    decode_client_frame,
)

BAD_HELLO = 4400
TOKEN_ENDED = 4401
TOO_MANY_SOCKETS = 4409
TOO_MANY_FRAMES = 4429
TOO_LARGE = 1009
NOT_UTF8 = 1007
GOING_AWAY = 1001


@dataclass(frozen=True, slots=True)
class Start:
    """Begin to read: at a position, or at the head."""

    device: DeviceId
    position: Position | None


@dataclass(frozen=True, slots=True)
class Submit:
    """Submit a command, and answer it in the order of the commands."""

    command_id: CommandId
    command: AnyCommand


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The device has what was sent up to this position."""

    position: Position


@dataclass(frozen=True, slots=True)
class Reauthenticate:
    """Check a fresh token."""

    token: str


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this frame."""

    frame: Refused | Pong


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket."""

    code: int
    reason: str


Action = Start | Submit | Acknowledge | Reauthenticate | Reply | Close


class NativeSession:
    """State of one socket: whether it said hello, its device, what it was sent."""

    def __init__(self) -> None:
        self.device: DeviceId | None = None
        self._sent = Position(ORIGIN_MARK, Seq(0))
        """Where the reader is when it has taken everything that it was sent."""

    def receive(self, text: str) -> Action:
        """Take a text frame; tell what to do."""
        try:
            frame = decode_client_frame(text)
        except FrameError as error:
            if self.device is None:
                return Close(BAD_HELLO, error.message[:100])
            return Reply(refused(error.frame_id, error))
        return self._take(frame)

    def receive_binary(self) -> Action:
        """Take a binary frame, which this protocol has none of."""
        if self.device is None:
            return Close(BAD_HELLO, "the first frame is hello")
        error = RefusedError("invalid_json", "Frames are text, not binary.")
        return Reply(refused(None, error))

    def _take(self, frame: AnyClientFrame) -> Action:
        if self.device is None:
            return self._hello(frame)
        match frame:
            case Hello():
                return Close(BAD_HELLO, "hello comes once")
            case SendFrame() | CancelFrame() | DecideFrame():
                return Submit(CommandId(frame.id), command_of(frame))
            case Ack():
                return self._ack(frame)
            case Renew():
                return Reauthenticate(frame.token)
            case Ping():
                return Reply(Pong(id=frame.id))

    def _hello(self, frame: AnyClientFrame) -> Action:
        if not isinstance(frame, Hello):
            return Close(BAD_HELLO, "the first frame is hello")
        position: Position | None = None
        if frame.cursor is None:
            if frame.mark is not None:
                return Close(BAD_HELLO, "a mark goes with a cursor")
        elif frame.mark is not None:
            position = Position(Mark(frame.mark), Seq(frame.cursor))
        elif frame.cursor == 0:
            position = Position(ORIGIN_MARK, Seq(0))
        else:
            return Close(BAD_HELLO, "a cursor above 0 needs its mark")
        self.device = DeviceId(frame.device)
        return Start(self.device, position)

    def _ack(self, frame: Ack) -> Action:
        if frame.cursor > self._sent.cursor:
            error = RefusedError("invalid_field", f"cursor: {frame.cursor} was not sent here")
            return Reply(refused(None, error))
        # A position may name any mark that is as new as its entry: the newest fits them all.
        return Acknowledge(Position(self._sent.mark, Seq(frame.cursor)))

    def sent(self, position: Position) -> None:
        """A frame that ends at this position was sent, or welcome named it."""
        self._sent = position


def command_of(frame: CommandFrame) -> AnyCommand:
    """The command that a frame asks for."""
    match frame:
        case SendFrame():
            return Send(
                thread_id=None if frame.thread_id is None else ThreadId(frame.thread_id),
                text=frame.text,
                agent=frame.agent,
                when_busy=frame.when_busy,
                attachments=frame.attachments,
            )
        case CancelFrame():
            return Cancel(run_id=RunId(frame.run_id))
        case DecideFrame():
            return Decide(
                approval_id=ApprovalId(frame.approval_id),
                decision=frame.decision,
                reason=frame.reason,
            )


def accepted(receipt: Receipt, *, duplicate: bool) -> Accepted:
    """The answer to a command that was accepted."""
    return Accepted(
        id=receipt.command_id,
        thread_id=receipt.thread_id,
        message_id=receipt.message_id,
        run_id=receipt.run_id,
        seq=receipt.seq,
        duplicate=duplicate,
    )


def refused(frame_id: str | None, error: RefusedError) -> Refused:
    """The answer to what was not taken."""
    return Refused(
        id=frame_id,
        error=RunError(code=error.code, message=error.message, retryable=error.retryable),
    )

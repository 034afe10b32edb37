"""Commands: what a client asks. Durable before they are accepted; one id is one command."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from goldenpath.model.events import RunError
from goldenpath.model.ids import ApprovalId, CommandId, MessageId, RunId, ThreadId
from goldenpath.model.journal import CommandSettled

WhenBusy = Literal["queue", "reject", "interrupt"]


class Command(
    msgspec.Struct, frozen=True, tag_field="kind", kw_only=True, forbid_unknown_fields=True
):
    """Base of the commands' bodies; the id travels beside the body."""


class Send(Command, frozen=True, tag="send", kw_only=True):
    thread_id: ThreadId | None = None
    text: str
    agent: str | None = None
    when_busy: WhenBusy = "queue"
    attachments: list[str] = []


class Cancel(Command, frozen=True, tag="cancel", kw_only=True):
    run_id: RunId


class Decide(Command, frozen=True, tag="decide", kw_only=True):
    approval_id: ApprovalId
    decision: Literal["approve", "deny"]
    reason: str | None = None


class CreateThread(Command, frozen=True, tag="create_thread", kw_only=True):
    title: str | None = None


class UpdateThread(Command, frozen=True, tag="update_thread", kw_only=True):
    thread_id: ThreadId
    title: str | None = None
    archived: bool | None = None


class DeleteThread(Command, frozen=True, tag="delete_thread", kw_only=True):
    thread_id: ThreadId


class Forget(Command, frozen=True, tag="forget", kw_only=True):
    """Erase everything of the user that was there before."""


AnyCommand = Send | Cancel | Decide | CreateThread | UpdateThread | DeleteThread | Forget

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)


def encode_command(command: AnyCommand) -> bytes:
    """Encode a command's body, canonically: equal commands give equal bytes."""
    return _encoder.encode(command)


def decode_command(body: bytes) -> AnyCommand:
    """Decode what `encode_command` made."""
    return _decoder.decode(body)


def body_hash(body: bytes) -> str:
    """Hash a command's canonical body (SHA-256, hex)."""
    return hashlib.sha256(body).hexdigest()


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The durable answer to a command. `error` null means accepted."""

    command_id: CommandId
    body_hash: str | None
    thread_id: ThreadId | None = None
    message_id: MessageId | None = None
    run_id: RunId | None = None
    seq: int | None = None
    error: RunError | None = None


def receipt_of(settled: CommandSettled) -> Receipt:
    """The receipt that a `command_settled` entry is the source of."""
    return Receipt(
        command_id=settled.command_id,
        body_hash=settled.body_hash,
        thread_id=settled.thread_id,
        message_id=settled.message_id,
        run_id=settled.run_id,
        seq=settled.seq,
        error=settled.error,
    )

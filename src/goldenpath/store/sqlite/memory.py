"""What the store holds in memory of one active user, and what operations do to it.

Everything here is plain state on the event loop's thread. A user is loaded when it is needed and
dropped when all of it is settled, so that an idle user costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from goldenpath.errors import UNREADABLE, CodecError, StoreRefusedError
from goldenpath.model.commands import Receipt, receipt_of
from goldenpath.model.entries import CODEC_VERSION, EncodedEntry, decode
from goldenpath.model.events import RunError
from goldenpath.model.ids import ORIGIN_MARK, HostId, Mark, Seq, UserId
from goldenpath.model.journal import CommandSettled
from goldenpath.store.chunks import SETTLED_TYPE, WHOLE_USER, owners, without
from goldenpath.store.interface import Append
from goldenpath.store.sqlite.groups import (
    Acknowledged,
    Acquired,
    AnyOperation,
    Appended,
    Fetched,
    RefusedFor,
    Submitted,
)

REFUSAL_KEPT_MS = 3_600_000
DELETED_TYPE = "thread_deleted"


class InboxItem(msgspec.Struct, array_like=True):
    """A command that waits (`error` null) or was refused for now."""

    body: bytes
    body_hash: str
    error: RunError | None = None
    refused_ms: int = 0


class Activated(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An activation: its epoch, the first seq that it may write, its mark."""

    epoch: int
    first_seq: int
    mark: str


class UserState:
    """One active user; see the module.

    `entries` are those from `settled_seq` + 1 to `head`, not yet settled. `group` is the last
    commit group that was applied, `dirty_since` the first one that is not settled. `erasing` maps
    a thread (or `WHOLE_USER`) to the seq up to which settled entries must not be shown any more.
    """

    __slots__ = (
        "acks",
        "acks_dirty",
        "activations",
        "codec",
        "delivered",
        "dirty_since",
        "due_ms",
        "entries",
        "epoch",
        "erasing",
        "erasing_dirty",
        "fetched",
        "generation",
        "group",
        "head",
        "host",
        "inbox",
        "inbox_dirty",
        "last_append",
        "mark",
        "marks_dirty",
        "pins",
        "place",
        "receipts",
        "reserved",
        "settled_seq",
        "stored",
        "submitting",
        "user",
        "user_no",
    )

    def __init__(self, user: UserId, user_no: int) -> None:
        self.user = user
        self.user_no = user_no
        self.stored = False
        """False until the user is in the settled tables: then nothing of it is there."""
        self.epoch = 0
        self.mark: Mark = ORIGIN_MARK
        self.head = 0
        self.settled_seq = 0
        self.last_append: str | None = None
        self.due_ms: int | None = None
        self.delivered = 0
        self.codec = CODEC_VERSION
        self.entries: list[EncodedEntry] = []
        self.inbox: dict[str, InboxItem] = {}
        self.inbox_dirty: set[str] = set()
        self.receipts: dict[str, Receipt] = {}
        self.activations: list[Activated] = []
        """The newest ones, in order; complete if the first has epoch 1."""
        self.marks_dirty: list[Activated] = []
        self.acks: dict[str, int] = {}
        self.acks_dirty: set[str] = set()
        self.fetched: set[str] = set()
        """Runs whose answer was read in a history, not yet settled."""
        self.erasing: dict[str, int] = {}
        self.erasing_dirty = False
        self.group = 0
        self.dirty_since: int | None = None
        self.generation = 0
        """Counts what moves or hides settled rows: a read that saw it change reads again."""
        self.host: HostId | None = None
        self.pins = 0
        self.reserved = False
        """An operation that checks and sets is on its way; the next one waits for it."""
        self.submitting: set[str] = set()
        self.place = 0

    @property
    def clean(self) -> bool:
        """True if forgetting this state loses nothing."""
        return (
            self.dirty_since is None
            and self.host is None
            and not (self.pins or self.erasing or self.submitting or self.reserved)
        )

    def after(self, cursor: int) -> list[EncodedEntry]:
        """Entries after a cursor that is not below `settled_seq`."""
        return self.entries[max(cursor - self.settled_seq, 0) :]


# What an operation must meet


def check_append(state: UserState, append: Append) -> Appended | None:
    """Give the operation; None if it was applied before.

    Raises `StoreRefusedError`, and `CodecError` for a receipt that cannot be read.
    """
    if append.append_id == state.last_append:
        return None
    if (append.epoch, append.mark, append.head) != (state.epoch, state.mark, state.head):
        raise StoreRefusedError(
            f"append of epoch {append.epoch} at {append.head} refused: "
            f"the log is in epoch {state.epoch} at {state.head}"
        )
    for number, entry in enumerate(append.entries, state.head + 1):
        if entry.seq != number:
            raise StoreRefusedError(f"append refused: entry {entry.seq} where {number} must be")
        if entry.type == SETTLED_TYPE:
            read_receipt(entry, CODEC_VERSION)  # what cannot be applied must not become durable
    return Appended(
        append.user,
        append.head,
        append.append_id,
        append.entries,
        [RefusedFor(refusal.command_id, refusal.error) for refusal in append.refused],
        append.due_ms,
        [*append.erase_threads, *([WHOLE_USER] if append.erase_user else [])],
        append.now_ms,
    )


# What an operation does


def apply(state: UserState, operation: AnyOperation, group: int, codec: int) -> None:
    """Apply a durable operation of commit group `group`."""
    state.group = group
    if state.dirty_since is None:
        state.dirty_since = group
    match operation:
        case Appended():
            _apply_append(state, operation, codec)
        case Submitted():
            state.inbox.pop(operation.command_id, None)  # goes to the end
            state.inbox[operation.command_id] = InboxItem(operation.body, operation.body_hash)
            state.inbox_dirty.add(operation.command_id)
        case Acquired():
            state.epoch = operation.epoch
            state.mark = Mark(operation.mark)
            activated = Activated(operation.epoch, state.head + 1, operation.mark)
            state.activations.append(activated)
            state.marks_dirty.append(activated)
        case Fetched():
            state.fetched.update(operation.run_ids)
        case Acknowledged():
            cursor = max(operation.cursor, state.acks.get(operation.device, 0))
            state.acks[operation.device] = cursor
            state.acks_dirty.add(operation.device)
            state.delivered = max(state.delivered, cursor)


def _apply_append(state: UserState, operation: Appended, codec: int) -> None:
    for thread_id in operation.erase:
        _erase(state, thread_id, operation.after)
    if operation.entries:
        state.codec = codec
        state.entries.extend(operation.entries)
        state.head = operation.entries[-1].seq
        for entry in operation.entries:
            if entry.type == SETTLED_TYPE and entry.json:
                receipt = read_receipt(entry, codec)
                state.receipts[receipt.command_id] = receipt
                if state.inbox.pop(receipt.command_id, None) is not None:
                    state.inbox_dirty.add(receipt.command_id)
            elif entry.type == DELETED_TYPE and entry.json:
                _forget_hashes(state, owners(entry)[0])
    for refused in operation.refused:
        item = state.inbox.get(refused.command_id)
        if item is not None:
            state.inbox[refused.command_id] = InboxItem(
                b"", item.body_hash, refused.error, operation.now_ms
            )
            state.inbox_dirty.add(refused.command_id)
    if state.inbox:
        forget_refusals(state, operation.now_ms)
    state.due_ms = operation.due_ms
    state.last_append = operation.append_id


def forget_refusals(state: UserState, now_ms: int) -> None:
    """Drop refusals that were kept for their hour."""
    _drop_refusals(state, lambda item: item.refused_ms + REFUSAL_KEPT_MS < now_ms)


def _drop_refusals(state: UserState, which: Callable[[InboxItem], bool]) -> None:
    for command_id, item in list(state.inbox.items()):
        if item.error is not None and which(item):
            del state.inbox[command_id]
            state.inbox_dirty.add(command_id)


def waits(state: UserState) -> bool:
    """Tell whether a command waits."""
    return any(item.error is None for item in state.inbox.values())


class _SettledEnvelope(msgspec.Struct):
    data: CommandSettled


_settled_decoder = msgspec.json.Decoder(_SettledEnvelope)


def read_receipt(entry: EncodedEntry, codec: int) -> Receipt:
    """The receipt that a `command_settled` entry is the source of. Raises `CodecError`."""
    if codec != CODEC_VERSION:
        body = decode(entry, codec).body
        if isinstance(body, CommandSettled):
            return receipt_of(body)
        raise CodecError(f"entry {entry.seq} is not a {SETTLED_TYPE}")
    try:  # the common case, without decoding what the receipt does not have
        return receipt_of(_settled_decoder.decode(entry.json).data)
    except UNREADABLE as error:
        raise CodecError(f"entry {entry.seq} ({entry.type}) cannot be read: {error}") from error


# Erasing


def visible_receipt(state: UserState, settled: Receipt | None) -> Receipt | None:
    """A settled receipt, without the hash of a body whose erasure was promised."""
    if settled is None or not state.erasing:
        return settled
    seq = settled.seq or 0
    of_thread = state.erasing.get(settled.thread_id or WHOLE_USER, 0)
    if seq > max(of_thread, state.erasing.get(WHOLE_USER, 0)):
        return settled
    return msgspec.structs.replace(settled, body_hash=None)


def _erase(state: UserState, thread_id: str, upto: int) -> None:
    # What is in memory goes at once; what is settled is hidden until it has been rewritten.
    state.erasing[thread_id] = upto
    state.erasing_dirty = True
    state.generation += 1
    state.entries = without(state.entries, state.erasing)
    _forget_hashes(state, thread_id)
    if thread_id == WHOLE_USER:
        state.acks.clear()
        state.acks_dirty.clear()
        _drop_refusals(state, lambda item: True)


def _forget_hashes(state: UserState, thread_id: str | None) -> None:
    if thread_id is None:
        return
    for command_id, receipt in state.receipts.items():
        if thread_id in (WHOLE_USER, receipt.thread_id):
            state.receipts[command_id] = msgspec.structs.replace(receipt, body_hash=None)


# Positions


def mark_at(state: UserState, seq: int) -> Mark | None:
    """Mark of the activation that wrote `seq`; None if memory does not reach back that far."""
    for activation in reversed(state.activations):
        if activation.first_seq <= seq:
            return Mark(activation.mark)
    return ORIGIN_MARK if _complete(state) else None


def last_seq_of(state: UserState, mark: Mark) -> Seq | None:
    """Last seq of an activation, -1 if the mark is unknown, None if memory cannot tell."""
    if mark == ORIGIN_MARK:
        return Seq(0)
    last = state.head
    for activation in reversed(state.activations):
        if activation.mark == mark:
            return Seq(last)
        last = activation.first_seq - 1
    return Seq(-1) if _complete(state) else None


def _complete(state: UserState) -> bool:
    return not state.epoch or (bool(state.activations) and state.activations[0].epoch == 1)

"""Every error that goldenpath raises, as one tree.

GoldenpathError
├── InvalidError            a caller's input is not valid (`code` is the protocol's)
├── RefusedError            a request that cannot be met, with the protocol's `code`
├── GrammarError            an entry that the run grammar refuses
├── CodecError              stored or received bytes that cannot be decoded
├── ConfigError             a setting that cannot work (one line: setting, value, remedy)
├── StoreError
│   ├── StoreUnavailableError   the outcome is unknown: try the same operation again
│   ├── StoreRefusedError       append refused: epoch, mark or head differ; ends the activation
│   ├── PositionError           (mark, cursor) is not of this log: the reader gets `reset`
│   ├── LeaseHeldError          another live host holds the user
│   └── StoreOpenError          the store cannot be opened (locked, corrupt, too new, ...)
├── OutgoingError           another service could not be reached
│   └── AddressRefusedError     its name leads into a private network
├── RunEndedError           a RunContext was used after its run's end   (public: RunEnded)
├── ToolFailedError         a tool ended without a result               (public: ToolFailed)
├── ProviderUnavailableError  a model's or tool's provider is down; raise it from an agent
├── StoppedError            a client stopped and will not reconnect by itself
├── ResetError              a client's place in the log is gone: load the history again
├── NondeterminismError     a replay asked for something else than was recorded
└── NotReplayableError      a value that the journal cannot hold
"""

from __future__ import annotations

import msgspec

UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What decoding bytes of anybody's making raises: broken syntax, broken text, brackets too deep."""


class GoldenpathError(Exception):
    """Root of every error that this package raises."""


class RefusedError(GoldenpathError):
    """A request that cannot be met.

    `code` is one of the protocol's codes, `message` is for the person who asked,
    `retryable` says whether the same request may succeed later.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retryable = retryable


class InvalidError(RefusedError):
    """Input that is not valid; never retryable."""

    def __init__(self, message: str, *, code: str = "invalid_field") -> None:
        super().__init__(code, message)


class GrammarError(GoldenpathError):
    """An entry that the run grammar refuses; the engine must not append it."""


class CodecError(GoldenpathError):
    """Stored or received bytes that cannot be decoded."""


class ConfigError(GoldenpathError):
    """A setting that cannot work. The message is one line: setting, value, remedy."""


class StoreError(GoldenpathError):
    """Root of the store's errors."""


class StoreUnavailableError(StoreError):
    """The store did not answer; the outcome is unknown. Repeating the operation is safe."""


class StoreRefusedError(StoreError):
    """An append whose epoch, mark or expected head is not the store's own."""


class PositionError(StoreError):
    """A (mark, cursor) that is not a position of this log."""


class LeaseHeldError(StoreError):
    """The user's lease is held by another live host."""


class StoreOpenError(StoreError):
    """The store cannot be opened; the message says why and what to do."""


class OutgoingError(GoldenpathError):
    """A request to another service that got no answer; it may have arrived all the same."""


class AddressRefusedError(OutgoingError):
    """A name that leads into a private network, where the operator did not allow that."""


class RunEndedError(GoldenpathError):
    """A `RunContext` was used after the end of its run."""


class ToolFailedError(GoldenpathError):
    """A tool ended without a result; `status` is the one of `tool_completed`."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class ProviderUnavailableError(GoldenpathError):
    """A provider is down or cut its answer: the run ends `failed/provider_unavailable`."""


class NondeterminismError(GoldenpathError):
    """A replay asked for a step that differs from what was recorded; names both."""


class NotReplayableError(GoldenpathError):
    """A value that cannot be journaled exactly."""


class StoppedError(GoldenpathError):
    """A client stopped for good; `code` says why (`unauthenticated`, `replaced`, `closed`, ...)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ResetError(GoldenpathError):
    """The log is not the one that was read (restored, replaced): load the history again."""

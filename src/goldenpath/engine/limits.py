"""Every bound of the engine and the server, with its default. Configurable, and told to clients."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes are bytes, times seconds unless named otherwise."""

    message_bytes: int = 64 * 1024
    frame_bytes: int = 256 * 1024
    answer_bytes: int = 4 * 1024 * 1024
    result_event_bytes: int = 64 * 1024
    result_journal_bytes: int = 4 * 1024 * 1024
    runs_at_once: int = 3
    runs_waiting: int = 100
    sockets_per_user: int = 20
    devices_per_user: int = 50
    commands_per_minute: int = 600
    run_seconds: float = 300.0
    tool_seconds: float = 60.0
    approval_seconds: float = 7 * 24 * 3600.0
    child_depth: int = 5
    child_width: int = 20
    host_runs_at_once: int = 2000
    """Root runs active on one host; more wait, fairly between users."""
    threads_per_user: int = 8
    """Synchronous tools of one user running at once."""
    coalesce_seconds: float = 0.05
    park_seconds: float = 1.0
    """A run whose only waits are durable and longer than this leaves the memory."""
    linger_seconds: float = 10.0
    """An idle engine goes away after this."""
    cancel_seconds: float = 0.5
    """What a cancelled body gets to stop before it is abandoned."""
    abandoned_bodies: int = 1000
    stall_seconds: float = 5.0
    """A replay that waits this long only for what cannot come is nondeterministic."""
    unsent_bytes: int = 1024 * 1024
    """A run that wrote this much more than the store took waits."""
    history_messages: int = 200

"""What a closed socket means: come back at once, after a wait, or not at all."""

from __future__ import annotations

from typing import Literal, NamedTuple

from goldenpath.errors import StoppedError
from goldenpath.wire import native
from goldenpath.wire.frames import Goodbye


class Ending(NamedTuple):
    """`stop` is for good; `token` asks for another one first; else connect again."""

    kind: Literal["again", "token", "too_big", "stop"]
    reason: str

    @property
    def error(self) -> StoppedError:
        """What a client that stops raises."""
        code, _, message = self.reason.partition(": ")
        return StoppedError(code, message)


def judge(code: int | None, reason: str, goodbye: Goodbye | None) -> Ending:
    """Judge a close (its code None where the connection was just lost) and a goodbye before it."""
    match code:
        case native.TOKEN_ENDED:
            ending = Ending("token", "the token has ended")
        case native.BAD_HELLO:
            ending = Ending("stop", f"bad_hello: the server refuses the hello ({reason or '-'})")
        case native.TOO_MANY_SOCKETS:
            ending = Ending("stop", "replaced: this user has opened too many other sockets")
        case _ if goodbye is not None and not goodbye.retry:
            ending = Ending("stop", f"{goodbye.code}: {goodbye.reason or 'goodbye'}")
        case native.TOO_LARGE:
            ending = Ending("too_big", "a frame was over the server's limit")
        case _ if goodbye is not None:
            ending = Ending("again", goodbye.reason or goodbye.code)
        case _:
            ending = Ending("again", reason or "the connection was lost")
    return ending


def judge_handshake(status: int) -> Ending:
    """Judge a plain HTTP answer to the upgrade."""
    if status == 401:
        return Ending("token", "the server refuses the token")
    if status == 403:
        return Ending("stop", "forbidden: the server refuses this origin or user")
    if 400 <= status < 500 and status not in (408, 425, 429):
        return Ending(
            "stop", f"no_server: HTTP {status}; is this the address of a goldenpath server?"
        )
    return Ending("again", f"HTTP {status}")

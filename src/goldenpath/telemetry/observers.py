"""Several observers where the engine wants one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from goldenpath.engine.ports import Observer

_HOOKS = tuple(name for name in vars(Observer) if not name.startswith("_"))


class Observers(Observer):
    """Tells each of them, in order. A hook that one alone has is its own: nothing is added."""

    def __init__(self, *observers: Observer) -> None:
        for name in _HOOKS:
            ignored = getattr(Observer, name)
            hooks = [getattr(o, name) for o in observers if getattr(type(o), name) is not ignored]
            if hooks:
                setattr(self, name, hooks[0] if len(hooks) == 1 else _all(hooks))


def _all(hooks: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def tell(*args: Any) -> None:
        for hook in hooks:
            hook(*args)

    return tell

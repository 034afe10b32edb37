"""How a bug is planted: one attribute is replaced while a seed runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

PLANTED: dict[str, Callable[[], AbstractContextManager[None]]] = {}


@contextlib.contextmanager
def _patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    original = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def plant(owner: Any, name: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register `make(original) -> broken` as the bug of its name."""

    def register(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        key = make.__name__.removeprefix("_").replace("_", " ")
        PLANTED[key] = lambda: _patched(owner, name, make(owner.__dict__[name]))
        return make

    return register

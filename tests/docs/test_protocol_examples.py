"""docs/protocol.md cannot lie: each of its examples is executed, in order, against a real server."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from goldenpath.model.events import EVENT_TYPES, ErrorCode
from goldenpath.server.problems import STATUS
from goldenpath.server.socket import REASONS
from goldenpath.wire import native
from goldenpath.wire.frames import AnyClientFrame, AnyServerFrame
from tests.docs.examples import EXECUTED, PAGE, Examples, server
from tests.docs.pages import blocks


@pytest.mark.anyio
async def test_every_example_is_true(tmp_path: Path) -> None:
    executed = 0
    async with server(tmp_path) as base:
        examples = Examples(base)
        try:
            for block in blocks(PAGE):
                if block.language in EXECUTED:
                    await examples.run(block)
                    executed += 1
        finally:
            await examples.close()
    assert executed > 20


@pytest.mark.parametrize("code", [*STATUS, *get_args(ErrorCode)])
def test_every_error_code_is_explained(code: str) -> None:
    assert f"| `{code}` |" in PAGE.read_text()


@pytest.mark.parametrize("event", EVENT_TYPES)
def test_every_event_is_described(event: str) -> None:
    assert f"| `{event}` |" in PAGE.read_text()


def test_every_field_of_every_event_is_named() -> None:
    rows = {
        line.split("|")[1].strip(" `"): line
        for line in PAGE.read_text().splitlines()
        if line.startswith("| `")
    }
    for name, type_ in EVENT_TYPES.items():
        for field in type_.__struct_fields__:
            assert f"`{field}`" in rows[name], (name, field)


@pytest.mark.parametrize("frame", [*get_args(AnyClientFrame), *get_args(AnyServerFrame)])
def test_every_frame_is_described(frame: type) -> None:
    assert f"| `{frame.__struct_config__.tag}` |" in PAGE.read_text()


def test_every_close_code_and_goodbye_is_explained() -> None:
    text = PAGE.read_text()
    for code in (native.BAD_HELLO, native.TOKEN_ENDED, native.TOO_MANY_SOCKETS, native.TOO_MANY_FRAMES,
                 native.TOO_LARGE, native.NOT_UTF8, native.GOING_AWAY):  # fmt: skip
        assert f"| {code} |" in text
    for reason in REASONS:
        assert f"`{reason}`" in text

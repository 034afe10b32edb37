"""Code that blocks the event loop is named."""

import asyncio
import logging
import threading

import pytest

from goldenpath.telemetry.watchdog import watched


def a_slow_function(until: threading.Event) -> None:
    until.wait()


@pytest.mark.anyio
async def test_a_block_is_named_with_its_stack_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    named, blocked = threading.Event(), asyncio.Event()
    seconds: list[float] = []
    loop = asyncio.get_running_loop()

    class Told(logging.Handler):
        """Lets the slow function go on once it was named, so that nothing waits for a clock."""

        def emit(self, record: logging.LogRecord) -> None:
            named.set()

    def count(elapsed: float) -> None:
        seconds.append(elapsed)
        loop.call_soon_threadsafe(blocked.set)

    told = Told()
    logger = logging.getLogger("goldenpath.watchdog")
    logger.addHandler(told)
    try:
        with caplog.at_level("WARNING", "goldenpath.watchdog"):
            async with watched(0.02, count):
                a_slow_function(named)
                await blocked.wait()
    finally:
        logger.removeHandler(told)
    record = caplog.records[0]
    assert "a_slow_function" in record.getMessage()
    assert "test_watchdog.py" in record.getMessage()
    assert "a_slow_function" in record.__dict__["stack"]
    assert seconds[0] > 0.02


@pytest.mark.anyio
async def test_stopping_is_prompt_and_leaves_no_thread() -> None:
    async with watched(10.0, lambda _: None):
        pass
    assert not [t for t in threading.enumerate() if t.name == "goldenpath-watchdog"]

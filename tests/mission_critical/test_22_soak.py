"""Case 22: wave after wave, everything returns to where it was; a slow reader slows nobody."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.mission_critical.kit import BOUND, Device, Server, check_run, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

USERS = 100
WAVES = 3


@pytest.fixture(scope="module")
def flags() -> tuple[str, ...]:
    return ("--limit-linger", "500ms", "--durability", "process")


def resident_kib(server: Server) -> int:
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


async def one_user(server: Server, name: str, chance: random.Random) -> None:
    tab = Device(server, name)
    await tab.connect()
    runs = [await tab.send("12 0.01", agent="story") for _ in range(2)]
    for _ in range(2):
        await tab.read()
        if chance.random() < 0.8:
            await tab.cut()
            await tab.connect()
    for sent in runs:
        end = await tab.end(sent["run_id"])
        assert end["status"] == "succeeded"
        check_run(tab.log.of(sent["run_id"]))
    await tab.write({"type": "ack", "cursor": tab.log.cursor})
    await tab.close()


async def quiet(server: Server) -> None:
    """Engines and sockets are gone."""

    async def nothing_left() -> bool:
        numbers = await server.metrics()
        return numbers["goldenpath_engines"] == 0 and numbers["goldenpath_sockets"] == 0

    await eventually(nothing_left, "engines or sockets stay")


async def test_waves_of_users_leave_nothing_behind(server: Server) -> None:
    chance = random.Random(22)
    # One client that reads nothing: its socket's buffers fill, and only they.
    slow = Device(server, "slow")
    await slow.open()
    slow.socket.transport.pause_reading()
    await slow.write(slow.hello())
    feeder = Device(server, "slow")
    await feeder.connect()
    sizes: list[tuple[int, int]] = []
    for wave in range(WAVES):
        users = [f"u{i}" for i in range(USERS)]
        big = await feeder.send("400 0", agent="story")
        await asyncio.gather(*(one_user(server, user, chance) for user in users))
        await feeder.end(big["run_id"])

        async def only_the_slow() -> bool:
            numbers = await server.metrics()
            return numbers["goldenpath_sockets"] == 2 and numbers["goldenpath_engines"] == 0

        await eventually(only_the_slow, f"after wave {wave}")
        sizes.append((resident_kib(server), descriptors(server)))
    # Base is what the first wave left: caches are filled by then. What a wave leaves beyond it
    # must be bounded, not in proportion to the waves.
    memory = [size for size, _ in sizes]
    assert memory[-1] - memory[0] < 24 * 1024, f"resident KiB after each wave: {memory}"
    files = [count for _, count in sizes]
    assert max(files) - min(files) <= 4, f"descriptors after each wave: {files}"
    numbers = await server.metrics()
    assert numbers['goldenpath_runs_total{status="succeeded"}'] == WAVES * (2 * USERS + 1)
    # It reads at last, and has missed nothing.
    slow.socket.transport.resume_reading()
    await feeder.fence()
    async with asyncio.timeout(BOUND):
        await slow.fence()
    assert slow.log.events == feeder.log.events
    await slow.close()
    await feeder.close()
    await quiet(server)
    assert numbers["goldenpath_abandoned_bodies"] == 0

"""`make chaos MINUTES=10`: random faults under load; `SEED=n` chooses them again."""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

from tests.cluster.chaos import Chaos
from tests.databases import versions


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--postgres", type=int, default=versions()[0], choices=versions())
    options = parser.parse_args()
    print(f"seed {options.seed}, PostgreSQL {options.postgres}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="goldenpath-chaos-") as name:
        chaos = Chaos(Path(name), options.postgres, options.seed, options.users)
        chaos.say = lambda text: print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)
        try:
            print(asyncio.run(chaos.run(options.minutes * 60)))
        finally:
            chaos.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Price lists."""

import bisect

type Price = int
type Tier = tuple[int, Price]


class Ladder[T]:
    def __init__(self, rungs: list[T]):
        self.rungs = rungs

    def at(self, index: int) -> T:
        return self.rungs[index]


def price_for(quantity: int, tiers: list[Tier]) -> Price:
    position = bisect.bisect_right([tier[0] for tier in tiers], quantity)
    return tiers[position - 1][1]

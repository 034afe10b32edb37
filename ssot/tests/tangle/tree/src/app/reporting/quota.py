"""Quotas of the plans."""

import bisect

type Tokens = int
type Plan = tuple[int, Tokens]


def quota_for(seats: int, plans: list[Plan]) -> Tokens:
    position = bisect.bisect_right([plan[0] for plan in plans], seats)
    return plans[position - 1][1]

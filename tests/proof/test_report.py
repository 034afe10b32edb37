"""A proof is red when anything that must be zero is not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.proof.kills import Kills
from tests.proof.measures import Fuzzed, Mutated, Simulated, Suite
from tests.proof.report import Proof, markdown, p99
from tests.proof.tally import Tally

LOG = [{"seq": seq, "type": "x"} for seq in (1, 2, 4)]


@pytest.mark.parametrize(
    ("seen", "counts"),
    [
        (LOG, (0, 0, 0, 0)),
        (LOG[:2], (1, 0, 0, 0)),
        ([*LOG[:2], LOG[1], LOG[2]], (0, 1, 0, 0)),
        ([LOG[1], LOG[0], LOG[2]], (0, 0, 1, 0)),
        ([*LOG, {"seq": 5, "type": "another's"}], (0, 0, 0, 1)),
        ([*LOG[:2], {"seq": 4, "type": "another's"}], (0, 0, 0, 1)),
    ],
)
def test_a_reader_s_view_is_counted_against_the_log(
    seen: list[Any], counts: tuple[int, int, int, int]
) -> None:
    tally = Tally()
    tally.add(seen, LOG)
    assert (tally.lost, tally.repeated, tally.reordered, tally.misdelivered) == counts
    assert tally.clean == (counts == (0, 0, 0, 0)) and tally.delivered == len(seen)


def proof() -> Proof:
    kills = Kills(1000, 2, 2000, 0, Tally(delivered=9), [0.5, 0.6], [0.5, 0.7])
    simulated = Simulated(2, 5, 7, 100, 300, 4000, 60.0, 2.0, Counter({"crash": 3}))
    return Proof(
        {"date": "today"}, [simulated], {"a bug": 3}, kills, Fuzzed(5, {"frames": 10}),
        Mutated(10, [], 57), Suite(100, []), "A record.",
    )  # fmt: skip


def broken(**parts: Any) -> Proof:
    return replace(proof(), **parts)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: broken(planted={"a bug": None}), "planted bug not found: a bug"),
        (lambda: broken(fuzzed=Fuzzed(5, {}, ["frames"])), "fuzzing broke frames"),
        (lambda: broken(mutated=Mutated(10, ["one"], 57)), "mutant lives: one"),
        (lambda: broken(mutated=Mutated(0, [], 57)), "did not run"),
        (lambda: broken(mission=Suite(99, ["a case"])), "case failed: a case"),
        (lambda: broken(simulated=[replace(proof().simulated[0], problems=["seed 9: lost"])]),
         "seed 9: lost"),
        (lambda: broken(kills=replace(proof().kills, tally=Tally(lost=1))), "kill -9: Tally"),
        (lambda: broken(kills=replace(proof().kills, not_succeeded=1)), "1 runs did not succeed"),
        (lambda: broken(kills=replace(proof().kills, first_resumed=[0.1, 9.0])), "recovery p99"),
    ],
)  # fmt: skip
def test_whatever_is_broken_makes_it_red(made: Any, said: str) -> None:
    red = made().red()
    assert len(red) == 1 and said in red[0]
    assert "1 broken: see below" in markdown(made()) and said in markdown(made())


def test_when_all_holds_it_says_so_with_every_figure() -> None:
    assert proof().red() == []
    text = markdown(proof())
    for shown in ("Everything holds", "| 2 | 5 | 100 | 7 | 300 |", "a bug | 3", "A record.",
                  "10 of 57 tried", "| frames | 10 |", "100 passed"):  # fmt: skip
        assert shown in text


def test_a_percentile_of_few_is_nearly_the_worst() -> None:
    assert p99([1.0]) == 1.0 and 1.9 < p99([1.0, 2.0]) <= 2.0
    assert p99([]) == float("inf")

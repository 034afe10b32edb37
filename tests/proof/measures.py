"""The parts of the proof: each runs one instrument, and says what it saw."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests.fuzz.__main__ import fuzz
from tests.fuzz.targets import TARGETS
from tests.simulation.work import Chunk, run_chunk

ROOT = Path(__file__).parents[2]
_CHUNK = 25
WORKERS = os.cpu_count() or 1


@dataclass
class Simulated:
    """Seeds that were simulated, and what was done to them."""

    machines: int
    users: int
    first: int
    seeds: int = 0
    runs: int = 0
    delivered: int = 0
    simulated_seconds: float = 0.0
    wall_seconds: float = 0.0
    injected: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=lambda: [])


def simulate(machines: int, users: int, first: int, seconds: float) -> Simulated:
    """Simulate seeds from `first` on, for so long."""
    found = Simulated(machines, users, first)
    began = time.perf_counter()
    with ProcessPoolExecutor(
        WORKERS, multiprocessing.get_context("spawn"), initializer=logging.disable
    ) as pool:
        while time.perf_counter() - began < seconds:
            start = first + found.seeds
            chunks: list[Chunk] = [
                (start + n * _CHUNK, start + (n + 1) * _CHUNK, machines, users)
                for n in range(4 * WORKERS)
            ]
            for reports in pool.map(run_chunk, chunks):
                for report in reports:
                    found.seeds += 1
                    found.runs += report.runs
                    found.delivered += report.delivered
                    found.simulated_seconds += report.seconds
                    found.injected += report.injected
                    found.problems += [f"seed {report.seed}: {one}" for one in report.problems]
    found.wall_seconds = time.perf_counter() - began
    return found


@dataclass
class Fuzzed:
    """How often each target was thrown at, and those that broke."""

    seconds: int
    executions: dict[str, int] = field(default_factory=lambda: {})
    broken: list[str] = field(default_factory=lambda: [])


def fuzz_all(seconds: int) -> Fuzzed:
    """Fuzz every target for so long."""
    found = Fuzzed(seconds)
    for name in TARGETS:
        outcome = fuzz(name, seconds, keep=False)
        found.executions[name] = outcome.executions
        if outcome.broken is not None or not outcome.executions:
            found.broken.append(name)
    return found


@dataclass
class Suite:
    """A run of pytest."""

    passed: int
    failed: list[str]


def run_tests(*paths: str) -> Suite:
    """Run tests, and count them."""
    report = ROOT / ".pytest_cache" / "proof.xml"
    report.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(WORKERS), "--dist", "loadfile",
               f"--junitxml={report}", *paths]  # fmt: skip
    subprocess.run(command, cwd=ROOT, capture_output=True)
    cases = ElementTree.parse(report).getroot().iter("testcase")
    passed, failed = 0, list[str]()
    for case in cases:
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(f"{case.get('classname')}::{case.get('name')}")
        else:
            passed += 1
    return Suite(passed, failed)


@dataclass
class Mutated:
    """Mutants that were tried, and those that lived."""

    tried: int
    lived: list[str]
    of: int


def mutate(sample: int | None) -> Mutated:
    """Try mutants: so many of them, or all."""
    command = [sys.executable, "-m", "tests.mutants"]
    listed = subprocess.run([*command, "--check"], cwd=ROOT, capture_output=True, text=True)
    of = re.search(r"^(\d+) mutants", listed.stdout, re.MULTILINE)
    flags = [] if sample is None else ["--sample", str(sample)]
    done = subprocess.run([*command, *flags], cwd=ROOT, capture_output=True, text=True)
    tried = re.search(r"^(\d+) tried", done.stdout, re.MULTILINE)
    lived = re.findall(r"^LIVES\s+[\d.]+ s\s+([^:]+):", done.stdout, re.MULTILINE)
    return Mutated(int(tried[1]) if tried else 0, lived, int(of[1]) if of else 0)

"""The ratchet: violations that were there when it began may only become fewer."""

from __future__ import annotations

import io
import json
import re
import tokenize
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssot.errors import ConfigError
from ssot.roles.audit import Audit
from ssot.rules import RULES, Violation
from ssot.rules.resurrected import resurrected
from ssot.show.jsontext import as_text

FILE = "ssot-baseline.json"
SCHEMA = "ssot.baseline/1"
_ALLOW = re.compile(r"#\s*ssot:\s*allow\s+([\w, -]+?)\s+--\s+(\S.*)")


@dataclass
class Baseline:
    """What was there: how many of each rule's keys, and what must not come back."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    retired: set[str] = field(default_factory=set[str])

    @classmethod
    def load(cls, root: Path) -> Baseline:
        """Read the tree's. Raises `ConfigError`, also if there is none."""
        try:
            document = json.loads((root / FILE).read_text("utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(f"there is no {FILE}: ssot guard --write makes it") from error
        except (OSError, ValueError) as error:
            raise ConfigError(f"{FILE} cannot be read: {error}") from error
        try:
            counts = Counter(
                {(rule, key): int(count) for rule, keys in document["violations"].items()
                 for key, count in keys.items()}
            )  # fmt: skip
            return cls(counts, set(document["retired"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{FILE} is none: ssot guard --write makes one anew") from error

    def save(self, root: Path) -> None:
        """Write it, sorted, so that two people's changes merge."""
        rules: dict[str, dict[str, int]] = {}
        for (rule, key), count in sorted(self.counts.items()):
            if count > 0:
                rules.setdefault(rule, {})[key] = count
        document = {"schema": SCHEMA, "violations": rules, "retired": sorted(self.retired)}
        (root / FILE).write_text(as_text(document) + "\n", "utf-8")


@dataclass
class Verdict:
    """How a tree stands to its baseline."""

    new: list[Violation] = field(default_factory=list[Violation])
    stale: list[Violation] = field(default_factory=list[Violation])
    """In the baseline, and nowhere else."""
    slack: list[Violation] = field(default_factory=list[Violation])
    """Fewer than the baseline has."""
    resurrected: list[Violation] = field(default_factory=list[Violation])
    known: int = 0
    allowed: int = 0

    @property
    def ok(self) -> bool:
        return not (self.new or self.stale or self.slack or self.resurrected)

    def as_json(self) -> dict[str, Any]:
        """The contract's object."""
        return {
            "ok": self.ok,
            **{name: [vars(one) for one in getattr(self, name)]
               for name in ("new", "stale", "slack", "resurrected")},
            "known": self.known, "allowed": self.allowed,
        }  # fmt: skip


def violations(audit: Audit) -> tuple[list[Violation], int]:
    """All that the audit was asked for, and how many comments allow."""
    found: list[Violation] = []
    allowed = 0
    lines: dict[str, list[str]] = {}
    for rule in RULES.values():
        for one in rule.find(audit):
            if audit.within is not None and one.path not in audit.within:
                continue
            if one.path not in lines:
                text = audit.analysis.read(one.path).decode(errors="replace")
                lines[one.path] = text.splitlines()
            if _allows(lines[one.path], one):
                allowed += 1
            else:
                found.append(one)
    return sorted(set(found)), allowed


def _allows(lines: list[str], one: Violation) -> bool:
    for number in (one.line, one.line - 1):
        if 0 < number <= len(lines):
            text = lines[number - 1]
            if number == one.line or text.lstrip().startswith("#"):
                found = _ALLOW.search(text)
                if (
                    found
                    and one.rule in re.split(r"[,\s]+", found[1])
                    and _is_comment(lines, number)
                ):
                    return True
    return False


def _is_comment(lines: list[str], number: int) -> bool:
    """The words are in a comment of a line, and not in a string."""
    text = "".join(f"{line}\n" for line in lines)
    try:
        return any(
            token.type == tokenize.COMMENT
            and token.start[0] == number
            and _ALLOW.search(token.string)
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
        )
    except (tokenize.TokenError, SyntaxError):
        return True  # of a file that cannot be read nobody knows better


def judge(audit: Audit, baseline: Baseline) -> Verdict:
    """Compare a tree with its baseline; of some files, if the audit was asked for these, only."""
    found, allowed = violations(audit)
    verdict = Verdict(allowed=allowed)
    counts = Counter((one.rule, one.key) for one in found if one.rule != "resurrected")
    seen: Counter[tuple[str, str]] = Counter()
    for one in found:
        if one.rule == "resurrected":
            continue
        seen[one.rule, one.key] += 1
        if seen[one.rule, one.key] <= baseline.counts[one.rule, one.key]:
            verdict.known += 1
        else:
            verdict.new.append(one)
    retired = {*baseline.retired, *audit.analysis.config.retired}
    retired |= {_ghost(key) for rule, key in baseline.counts if rule == "ghost-import"}
    verdict.resurrected = list(resurrected(audit.analysis.project, retired))
    if audit.within is None:
        for (rule, key), count in sorted(baseline.counts.items()):
            if counts[rule, key] < count:
                left = counts[rule, key]
                message = f"the baseline has {count}, there are {left}: ssot guard --tighten"
                one = Violation(_path(key), 1, rule, key, key, message)
                (verdict.slack if left else verdict.stale).append(one)
    return verdict


def _ghost(key: str) -> str:
    return key.rpartition("|")[2]


def _path(key: str) -> str:
    return next((part for part in key.split("|") if part.endswith(".py")), FILE)


def write(audit: Audit, retired: Iterable[str] = ()) -> Baseline:
    """A baseline of what is there now."""
    found, _ = violations(audit)
    counts = Counter((one.rule, one.key) for one in found if one.rule != "resurrected")
    return Baseline(counts, set(retired))


def tighten(audit: Audit, baseline: Baseline) -> Baseline:
    """The same baseline without what is not there any more; never with more."""
    now = write(audit).counts
    gone = {
        _ghost(key) for rule, key in baseline.counts
        if rule == "ghost-import" and not now[rule, key]
    }  # fmt: skip
    kept = {key: min(count, now[key]) for key, count in baseline.counts.items() if now[key]}
    return Baseline(Counter(kept), baseline.retired | gone)

"""Which files hold certain words: for all questions each file is read once, and answers are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ssot.analysis import Analysis
from ssot.index import cache
from ssot.tree.files import encoded


@dataclass(frozen=True)
class Question:
    """Asked of a file's content. `key`: two questions of one key have the same answers."""

    key: str
    asked: Callable[[bytes], bool]


def holds(needles: Collection[str], *, any_case: bool = False) -> Question:
    """Asks whether one of these texts is in a file; `any_case`: they are in small letters."""
    texts = sorted(
        {encoded(needle) for needle in needles},
        key=lambda text: (len(text), text),
    )

    def asked(data: bytes) -> bool:
        if any_case:
            data = data.lower()
        for text in texts:  # noqa: SIM110 - a generator costs more than the search
            if text in data:
                return True
        return False

    return Question(f"{any_case} {texts}", asked)


def both(first: Question, second: Question) -> Question:
    """Asks one thing and the other."""
    return Question(
        f"{first.key} and {second.key}", lambda data: first.asked(data) and second.asked(data)
    )


def files_where(analysis: Analysis, questions: Sequence[Question]) -> list[list[str]]:
    """For each question the files of code for which the answer is yes, by path."""
    kept: dict[str, dict[str, bool]] = {}
    if questions and analysis.contents is None:
        kept = cache.load(analysis.root, "answers") or {}
    answers = [kept.get(one.key, {}) for one in questions]
    asked = 0
    for path, sha in analysis.ids.items() if questions else ():
        missing = [number for number, known in enumerate(answers) if sha not in known]
        if missing:
            asked += 1
            data = analysis.read(path)
            for number in missing:
                answers[number][sha] = questions[number].asked(data)
    if analysis.contents is None and asked * 50 > len(analysis.ids):
        present = frozenset(analysis.ids.values())
        kept |= {one.key: known for one, known in zip(questions, answers, strict=True)}
        latest = list(kept.items())[-_MOST_KEPT:]
        cache.save(analysis.root, "answers", {
            key: {sha: known for sha, known in answered.items() if sha in present}
            for key, answered in latest
        })  # fmt: skip
    paths = sorted(analysis.ids)
    return [[path for path in paths if known[analysis.ids[path]]] for known in answers]


_MOST_KEPT = 40
"""Questions whose answers are kept: those of some roles."""

"""Pages as lists of fenced blocks, and the ground rules by which their examples are executed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
PAGES = list(dict.fromkeys(PAGES))
_FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words after it, its text, the line where it begins."""

    language: str
    words: dict[str, str]
    text: str
    line: int

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """(command, lines expected after it) of a console block; `\\` goes on in the next line."""
        found: list[tuple[str, list[str]]] = []
        more = False
        for line in self.text.splitlines():
            if more:
                found[-1] = (found[-1][0] + "\n" + line, [])
            elif line.startswith("$ "):
                found.append((line[2:], []))
            elif found:
                found[-1][1].append(line)
            else:
                raise AssertionError(f"line {self.line}: a console block begins with '$ '")
            more = line.endswith("\\") and not found[-1][1]
        return found


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        words = dict((word.partition("=")[0], word.partition("=")[2]) for word in match[2].split())
        found.append(Block(match[1], words, match[3], text.count("\n", 0, match.start()) + 1))
    return found


def matches(expected: list[str], shown: list[str], *, whole: bool) -> bool:
    """Whether lines are as a page shows them.

    `...` alone stands for any lines, within a line for any text. Unless `whole`, more may follow.
    """
    pattern = ""
    for line in expected:
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += (
                ".*?".join(re.escape(part.rstrip()) for part in re.split(r"\.\.\.", line))
                + r"[ \t]*\n"
            )
    text = "".join(line.rstrip() + "\n" for line in shown)
    found = re.match(pattern + ("$" if whole else ""), text)
    return found is not None

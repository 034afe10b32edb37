"""The table of settings in docs/operating.md: `python -m tests.docs.settings` writes it."""

from __future__ import annotations

from goldenpath.config import SETTINGS
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "operating.md"
_BEGIN, _END = "<!-- settings -->\n", "<!-- /settings -->"


def table() -> str:
    """One row for each setting."""
    rows = ["| setting | default | what it is |", "|---|---|---|"]
    for row in SETTINGS.values():
        name = f"`{row.variable}`" if row.secret else f"`{row.flag}`"
        choices = f" ({', '.join(row.choices)})" if row.choices else ""
        rows.append(f"| {name} | {row.shown_default} | {row.help}{choices} |")
    return "\n".join(rows) + "\n"


def with_table(text: str) -> str:
    """The page with the table as it should be."""
    before, _, rest = text.partition(_BEGIN)
    return before + _BEGIN + table() + _END + rest.partition(_END)[2]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""`python -m tests.pages`: write the rules' pages."""

from pathlib import Path

from ssot.rules import RULES
from ssot.show.rule_page import page

if __name__ == "__main__":
    folder = Path(__file__).parent.parent / "docs" / "rules"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rule in RULES.items():
        (folder / f"{name}.md").write_text(page(rule))

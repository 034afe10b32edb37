from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from goldenpath.demo.agent import SHIPPED_DATA
from goldenpath.demo.dataset import Dataset, open_dataset

_LIBRARY = Path(__file__).parent / "data" / "library.sql"


@pytest.fixture(scope="session")
def library_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second file: a SQLite file of a small library, made of readable SQL."""
    path = tmp_path_factory.mktemp("demo") / "library.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_LIBRARY.read_text(encoding="utf-8"))
    return path


@pytest.fixture(scope="session")
def datasets(library_file: Path) -> Iterator[dict[str, Dataset]]:
    """Both files, by the name that questions.toml gives them."""
    opened = {
        "ai_spending.csv": open_dataset(SHIPPED_DATA),
        "library.sql": open_dataset(library_file),
    }
    yield opened
    for dataset in opened.values():
        dataset.close()


@pytest.fixture(scope="session")
def spending(datasets: dict[str, Dataset]) -> Dataset:
    return datasets["ai_spending.csv"]


@pytest.fixture(scope="session")
def library(datasets: dict[str, Dataset]) -> Dataset:
    return datasets["library.sql"]

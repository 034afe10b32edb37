"""Usage as a table."""

import csv


def read_rows(path):
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle))


def table(rows):
    return [f"{row["user"]}: {row["tokens"]}" for row in rows]

"""Synchronise the stock with the warehouse."""

import csv


def read_rows(path):
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle))


def summary(rows):
    return [f"{row["sku"]}: {row["count"]}" for row in rows]

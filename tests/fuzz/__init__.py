"""Bytes of anybody's making, thrown at everything that reads them.

`targets` says what may come of them; `python -m tests.fuzz` throws, guided by coverage; the corpus
that it found is thrown again by each run of the tests.
"""

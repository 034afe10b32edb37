"""Time, as the worker knows it."""

import time


def now():
    return time.time()


def stamp():
    return f"{now():.3f}"

"""Scheduler of the first worker."""

SLOTS = {"night": 2, "day": 14}


def slot(name)
    return SLOTS[name]


def is_night(hour):
    return hour < 6

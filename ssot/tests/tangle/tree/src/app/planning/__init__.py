"""Planning."""

from enum import *


class Effort(Enum):
    SMALL = 1
    LARGE = 2


def weight(effort):
    return effort.value * 10

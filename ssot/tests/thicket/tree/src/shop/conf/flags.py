"""Feature flags."""

from shop.keys import KeyReader


class FlagBoard(KeyReader):
    def __init__(self, values):
        self._states = dict(values)

    def get(self, key, default=None):
        return self._states.get(key, default)

    def require(self, key):
        return bool(self._states[key])


def refresh(source):
    board = FlagBoard({})
    try:
        board.reload(source)
    except Exception:
        pass

"""Which users need an engine: commands that wait, and times that are due. Complete, in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import chain, islice

from goldenpath.model.ids import UserId
from goldenpath.store.sqlite.memory import UserState, waits


class Demand:
    """Users with waiting commands, and a heap of the rest by when they are due."""

    def __init__(self, waiting: list[UserId], due: list[tuple[int, UserId]]) -> None:
        self._waiting: dict[UserId, None] = dict.fromkeys(waiting)
        self._due: dict[UserId, int] = {user: due_ms for due_ms, user in due}
        self._heap = due
        heapq.heapify(self._heap)
        self._overdue: dict[UserId, int] = {}
        """Taken off the heap because their time had come; they stay until it changes."""

    def update(self, state: UserState) -> None:
        """Take over what an operation changed."""
        user = state.user
        if state.inbox and waits(state):
            self._waiting[user] = None
        else:
            self._waiting.pop(user, None)
        due_ms = state.due_ms
        if due_ms == self._due.get(user):
            return
        self._overdue.pop(user, None)
        if due_ms is None:
            del self._due[user]
        else:
            self._due[user] = due_ms
            heapq.heappush(self._heap, (due_ms, user))
        if len(self._heap) > 2 * len(self._due) + 1000:
            self._heap = [
                (due_ms, user) for user, due_ms in self._due.items() if user not in self._overdue
            ]
            heapq.heapify(self._heap)

    def users(
        self, now_ms: int, limit: int, served: Callable[[UserId], bool] = lambda _: False
    ) -> list[UserId]:
        """Users that wait or are due, but for those of whom `served` says that they need nobody."""
        self._trim()
        heap = self._heap
        while heap and heap[0][0] <= now_ms and len(self._overdue) < limit:
            due_ms, user = heapq.heappop(heap)
            self._overdue[user] = due_ms
            self._trim()
        due = (user for user, due_ms in self._overdue.items() if due_ms <= now_ms)
        asking = (user for user in chain(self._waiting, due) if not served(user))
        return list(islice(dict.fromkeys(asking), limit))

    def next_due(self) -> int | None:
        """The least due of any user."""
        self._trim()
        least = list(self._overdue.values())
        if self._heap:
            least.append(self._heap[0][0])
        return min(least, default=None)

    def _trim(self) -> None:
        # What was changed since it was pushed stands elsewhere in the heap, or nowhere.
        heap = self._heap
        while heap and (self._due.get(heap[0][1]) != heap[0][0] or heap[0][1] in self._overdue):
            heapq.heappop(heap)

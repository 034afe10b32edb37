"""Sent from somewhere else."""

from __future__ import annotations

from collections.abc import Iterator

from ssot.roles.audit import Audit
from ssot.rules.base import ENGINE, TOML, WATCHED, Case, Rule, Violation, tree


def _find(audit: Audit) -> Iterator[Violation]:
    for name, role in audit.roles.items():
        sent = [one for one in role.routes if one.kind == "terminal" and one.area in WATCHED]
        for event in dict.fromkeys(one.event for one in sent):
            ways = [one for one in sent if one.event == event]
            right = [one for one in ways if one.owner == role.role.canonical]
            if len(ways) < 2:
                continue
            for one in ways:
                if one not in right:
                    yield Violation(
                        one.path, one.line, "extra-route", f"{name}|{one.owner}|{event}", one.owner,
                        f"{one.owner} sends {event} by {one.sink}; {len(ways)} places send it",
                    )  # fmt: skip


_EVENTS = TOML + 'events = ["run_started", "run_ended"]\n'
_SENDER = 'class {}:\n    def go(self, bus):\n        bus.send({{"type": "run_started"}})\n'


def _case(**files: str) -> dict[str, str]:
    return tree(**files) | {"ssot.toml": _EVENTS}


RULE = Rule(
    "extra-route",
    "an event leaves from more than one place",
    """Several places turn the same event into a message and send it. Each of them has its own order,
its own fields and its own failures, and whoever listens on one misses the others. Send it from one
place (the canonical's), and call that.""",
    _find,
    valid=(
        Case("one place", _case(app__sender=_SENDER.format("Sender"))),
        Case("names that are compared", _case(
            app__sender=_SENDER.format("Sender"),
            app__reader='def seen(event):\n    return event["type"] == "run_started"\n')),
    ),
    invalid=(Case("two places", _case(
        app__one=_SENDER.format("One"), app__two=_SENDER.format("Two")),
        (("app/one.py", 3), ("app/two.py", 3))),
        Case("beside the canonical", _case(
            app__engine=ENGINE + '    def go(self, bus):\n        bus.send("run_ended")\n',
            app__two='def end(bus):\n    bus.send("run_ended")\n'), (("app/two.py", 2),))),
)  # fmt: skip

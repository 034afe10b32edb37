"""All rules, by name."""

from ssot.rules import (
    alias,
    broken_import,
    compile_error,
    drift,
    duplicate_definition,
    extra_construction,
    extra_route,
    ghost_import,
    lying_alias,
    noncanonical_import,
    parse_error,
    re_export,
    resurrected,
    rival,
)

_MODULES = (
    rival, alias, lying_alias, re_export, noncanonical_import, ghost_import, extra_construction,
    extra_route, drift, broken_import, parse_error, compile_error,
    duplicate_definition, resurrected,
)  # fmt: skip
RULES = {module.RULE.name: module.RULE for module in _MODULES}

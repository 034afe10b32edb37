"""The JSON Schemas of what commands print with `--json` (draft 2020-12)."""

from __future__ import annotations

from typing import Any

from ssot.config import AREAS, RELATIONS
from ssot.errors import ConfigError

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
INT: Schema = {"type": "integer"}
BOOL: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
LINE: Schema = {"type": "integer", "minimum": 1}
AREA: Schema = {"enum": list(AREAS)}
LIVENESS: Schema = {"enum": ["live", "tooling", "tests", "none", "unknown"]}


def maybe(schema: Schema) -> Schema:
    """It, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def many(schema: Schema) -> Schema:
    """A list of it."""
    return {"type": "array", "items": schema}


def record(**fields: Schema) -> Schema:
    """An object that has these fields; others may come."""
    return {
        "type": "object",
        "properties": {name.removesuffix("_"): schema for name, schema in fields.items()},
        "required": [name.removesuffix("_") for name in fields],
    }


def table(schema: Schema) -> Schema:
    """An object of any names, each with one."""
    return {"type": "object", "additionalProperties": schema}


SITE = record(symbol=TEXT, path=TEXT, line=LINE)
REF = record(
    target=TEXT, module=TEXT, name=maybe(TEXT), as_=maybe(TEXT),
    kind={"enum": ["from", "import", "star", "importlib", "patch", "string", "path", "doc"]},
    place={"enum": ["module", "class", "function"]},
    try_={"enum": [None, "import_error", "other"]},
    type_checking=BOOL, relative=BOOL, via=many(TEXT), path=TEXT, line=LINE, area=AREA,
    read_by={"enum": ["ast", "libcst", "lines"]},
)  # fmt: skip
ROLE = record(
    canonical=TEXT,
    members=many(record(
        symbol=TEXT, path=TEXT, line=LINE,
        kind={"enum": ["class", "function", "assignment", "import", "missing"]},
        relation={"enum": list(RELATIONS)}, targets=many(TEXT), lying=BOOL, area=AREA,
        liveness=LIVENESS,
        evidence=many(record(why=TEXT, path=TEXT, line=LINE, score=NUMBER)),
    )),
    decoys=many(record(symbol=TEXT, path=TEXT, line=LINE, why=TEXT)),
    refs=many(REF),
    constructions=many(record(
        owner=TEXT, path=TEXT, line=LINE, area=AREA, liveness=LIVENESS, target=TEXT,
        how={"enum": ["call", "cls", "type_self", "new", "partial"]},
    )),
    routes=many(record(
        event=TEXT, owner=TEXT, path=TEXT, line=LINE, kind={"enum": ["terminal", "wrapper"]},
        sink=TEXT, area=AREA, liveness=LIVENESS,
    )),
    vocabularies=many(record(symbol=TEXT, path=TEXT, line=LINE, events=many(TEXT))),
    drift=many(record(
        rule={"enum": ["signature", "missing_method", "swallowed"]}, method=TEXT,
        sites=many(record(symbol=TEXT, path=TEXT, line=LINE, signature=TEXT)),
    )),
)  # fmt: skip
BROKEN = record(path=TEXT, line=LINE, module=TEXT, name=maybe(TEXT), area=AREA, hard=BOOL)
VIOLATION = record(rule=TEXT, key=TEXT, path=TEXT, line=LINE, symbol=TEXT, message=TEXT)
EDIT = record(path=TEXT, line=LINE, before=TEXT, after=maybe(TEXT))
STEP = record(
    id=TEXT, phase=TEXT,
    kind={"enum": ["delete", "rewrite_imports", "rewrite_strings", "rewrite_calls", "manual"]},
    target=TEXT, edits=many(EDIT), needs=many(TEXT), tests=many(TEXT), risk=TEXT, why=TEXT,
    differences=many(record(path=TEXT, line=LINE, why=TEXT)),
)  # fmt: skip
COUNTED = record(definition=TEXT, count=INT, files=many(TEXT))
GATED = record(path=TEXT, line=LINE, key=TEXT, status={"enum": ["modified", "added"]})
SCHEMAS: dict[str, Schema] = {
    "audit": record(
        schema={"const": "ssot.audit/1"}, python=TEXT, roots=many(TEXT),
        files=record(total=INT, by_area=table(INT)),
        modules=table(record(path=TEXT, area=AREA, liveness=LIVENESS)),
        unparsed=many(record(path=TEXT, line=LINE, message=TEXT, area=AREA, parses_on=maybe(TEXT))),
        skipped=many(record(path=TEXT, reason=TEXT)), broken=many(BROKEN), roles=table(ROLE),
        duplicates=many(record(name=TEXT, sites=many(SITE))), discovered=BOOL,
    ),
    "init": record(roles=many(record(
        name=TEXT, canonical=TEXT, path=TEXT, line=LINE, importers=INT, score=NUMBER, methods=many(TEXT),
        kin=many(record(
            symbol=TEXT, path=TEXT, line=LINE, likeness=NUMBER, interface=maybe(TEXT),
            evidence=record(methods=NUMBER, name=NUMBER, attributes=NUMBER, annotations=NUMBER,
                            imports=NUMBER, importers=NUMBER),
        )),
    ))),
    "refs": record(refs=many(REF)),
    "explain": record(
        number=INT, tried=INT, matches=many(COUNTED), nearest=many(COUNTED),
        written_at=many(record(path=TEXT, line=LINE)), refuted=maybe(COUNTED),
    ),
    "tests": record(tests=many(record(
        path=TEXT, functions=INT, protects=many(TEXT),
        trust=many(record(rule=TEXT, line=LINE, why=TEXT)),
    ))),
    "plan": record(role=TEXT, steps=many(STEP), kept=many(record(symbol=TEXT, why=TEXT))),
    "migrate": record(
        ok=BOOL, branch=TEXT, worktree=TEXT, done=many({"type": "object"}),
        refused=many(record(id=TEXT, why=TEXT)), manual=maybe(STEP), left=INT,
    ),
    "gate": record(ok=BOOL, gates=many(record(gate=TEXT, ok=BOOL, new=many(GATED), gone=many(GATED)))),
    "guard": record(
        ok=BOOL, new=many(VIOLATION), stale=many(VIOLATION), slack=many(VIOLATION),
        resurrected=many(VIOLATION), known=INT, allowed=INT,
    ),
    "rules": record(rules=many(record(name=TEXT, summary=TEXT))),
    "report": record(path=TEXT, bytes=INT),
    "export": record(banned=table(TEXT)),
}  # fmt: skip


def schema_of(command: str) -> Schema:
    """The schema of a command's object. Raises `ConfigError`."""
    if command not in SCHEMAS:
        raise ConfigError(f"{command!r} prints no object; there are: {', '.join(sorted(SCHEMAS))}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMAS[command]}

"""The command `ssot`."""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ssot import config as configuration
from ssot import git
from ssot.analysis import Analysis, analyse, analyse_revision
from ssot.errors import ConfigError, Refused, SsotError
from ssot.show.jsontext import as_text
from ssot.show.progress import progress

Command = Callable[[argparse.Namespace], int]


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0: done; 1: a violation or a refusal; 2: it cannot run."""
    gc.disable()  # a command ends soon, and what it reads is looked through again and again
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may be no text
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.command(options)
    except Refused as error:
        print(f"ssot: {error}", file=sys.stderr)
        return 1
    except SsotError as error:
        print(f"ssot: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("ssot: stopped", file=sys.stderr)
        return 2


def run() -> None:
    """The command as it is installed: it ends without taking apart what it has read."""
    signal.signal(signal.SIGTERM, _stop)
    code = main()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _parser() -> argparse.ArgumentParser:  # noqa: PLR0915 - a statement for each option
    parser = argparse.ArgumentParser(
        prog="ssot",
        description="Finds every second implementation in a Python code base, and keeps it at one.",
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--root", type=Path, default=None, metavar="FOLDER",
                        help="the tree; else the nearest folder with a ssot.toml, else this one")  # fmt: skip
    shared.add_argument("--json", action="store_true", help="print one object for programs")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Command, help: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help, description=help, parents=[shared])
        made.set_defaults(command=run)
        return made

    one = add("init", _init, "propose roles, and write them to ssot.toml")
    one.add_argument("--force", action="store_true", help="write over a ssot.toml")
    one = add("audit", _audit, "list what plays each role, who uses it, and how")
    one.add_argument("--role", action="append", help="only this role")
    one.add_argument("--area", action="append", choices=configuration.AREAS, help="only this area")
    one.add_argument("--relation", action="append", choices=configuration.RELATIONS,
                     help="only members of this relation")  # fmt: skip
    one.add_argument("--format", choices=("text", "json", "sarif", "github"), default="text")
    one = add("refs", _refs, "list every reference to symbols or modules")
    one.add_argument("what", nargs="+", metavar="SYMBOL|MODULE")
    one = add("explain", _explain, "say where a number may come from")
    one.add_argument("number", help="such as 12, or 53+")
    one.add_argument("--names", default="", help="names to count, with commas")
    one.add_argument("--definition", help="one that was printed: say whether the number is its")
    one.add_argument("--at", metavar="REV", help="count in this revision")
    one = add("tests", _tests, "say which tests protect which member, and which cannot be trusted")
    one.add_argument("--role", action="append", help="only this role")
    one = add("guard", _guard, "compare violations with the baseline, which may only shrink")
    how = one.add_mutually_exclusive_group()
    how.add_argument("--write", action="store_true", help="make a baseline of what is there now")
    how.add_argument("--tighten", action="store_true", help="take what is gone out of the baseline")
    how.add_argument("--diff", metavar="REV", help="look only at files that changed since then")
    one.add_argument("--format", choices=("text", "json", "sarif", "github"), default="text")
    one = add("plan", _plan, "say in which steps a role comes to its canonical")
    one.add_argument("--role", help="needed where there are several")
    one = add("migrate", _migrate, "execute a plan in a git worktree, a commit for each step")
    one.add_argument("--role", help="needed where there are several")
    one.add_argument("--plan", type=Path, metavar="FILE", help="only the steps of this plan (JSON)")
    one.add_argument("--tests", metavar="COMMAND", help="pytest, as in 'python -m pytest'")
    one.add_argument("--check", metavar="COMMAND", help="must succeed after each step")
    one.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS",
                     help="for one run of a command")  # fmt: skip
    one.add_argument("--dry-run", action="store_true", help="only say what would be done")
    one = add("gate", _gate, "apply the migration's gates to the change between two revisions")
    one.add_argument("old", metavar="REV1")
    one.add_argument("new", metavar="REV2")
    one.add_argument("--tests", metavar="COMMAND", help="pytest; run in worktrees of both")
    one.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS",
                     help="for one run of it")  # fmt: skip
    one = add("report", _report, "write one page of HTML for a team")
    one.add_argument("--output", type=Path, default=Path("ssot-report.html"), metavar="FILE")
    one.add_argument("--history", type=int, default=10, metavar="N",
                     help="commits to count in, at most 10")  # fmt: skip
    one = add("export", _export, "print the roles' rules for ruff (TID251)")
    one = add("rules", _rules, "print the rules, or the page of one")
    one.add_argument("rule", nargs="?")
    one = commands.add_parser("schema", help="print the JSON Schema of a command's --json")
    one.add_argument("of", metavar="COMMAND")
    one.set_defaults(command=_schema, json=True)
    return parser


# -- what commands have in common -----------------------------------------------------------------


def _root(options: argparse.Namespace) -> Path:
    if options.root is not None:
        return options.root.resolve()
    here = Path.cwd()
    return next((f for f in (here, *here.parents) if (f / configuration.FILE).is_file()), here)


def _analysed(options: argparse.Namespace) -> Analysis:
    with progress() as tell:
        return _kept(analyse(_root(options), tell))


_ALL_KEPT: list[Analysis] = []


def _kept(analysis: Analysis) -> Analysis:
    """The same, held until the process ends: to take a large tree apart takes a tenth of a command."""
    _ALL_KEPT.append(analysis)
    return analysis


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _print_json(value: Any) -> None:
    print(as_text(value))


def _roles(analysis: Analysis, wanted: Sequence[str] | None) -> dict[str, configuration.Role]:
    roles = analysis.config.roles
    unknown = [name for name in wanted or () if name not in roles]
    if unknown:
        there = ", ".join(sorted(roles)) or "none"
        raise ConfigError(
            f"there is no role {unknown[0]!r} in {configuration.FILE}; there are: {there}"
        )
    return {name: role for name, role in roles.items() if not wanted or name in wanted}


# -- commands ---------------------------------------------------------------------------------------


def _init(options: argparse.Namespace) -> int:
    from ssot.discover import as_toml, discover
    from ssot.roles.candidates import Search

    root = _root(options)
    path = root / configuration.FILE
    if path.exists() and not options.force and not options.json:
        raise Refused(f"{path} is there already; --force writes over it")
    analysis = (
        _analysed(options) if not path.exists() else analyse(root, config=configuration.Config())
    )
    proposals = discover(analysis.project, Search(analysis.project))
    if options.json:
        _print_json({"roles": [
            {**{k: v for k, v in vars(one).items() if k != "kin"}, "kin": [vars(kin) for kin in one.kin]}
            for one in proposals
        ]})  # fmt: skip
        return 0
    if not proposals:
        print(
            "no two classes here do the same thing; nothing was written. A role that you know of needs "
            f'two lines in {configuration.FILE}: [roles.NAME] and canonical = "package.module:Name"'
        )
        return 0
    path.write_text(as_toml(proposals), "utf-8")
    print(f"{len(proposals)} roles proposed in {path}; read it, then: ssot audit")
    return 0


def _audit(options: argparse.Namespace) -> int:
    from ssot.guard import violations
    from ssot.roles.audit import as_json, audit
    from ssot.show.audit_text import audit_text
    from ssot.show.filters import only
    from ssot.show.formats import github, sarif

    analysis = _analysed(options)
    roles = _roles(analysis, options.role)
    proposed = not analysis.config.roles
    if proposed:
        from ssot.discover import discover
        from ssot.roles.candidates import Search

        roles = {
            one.name: one.role for one in discover(analysis.project, Search(analysis.project), 5)
        }
    found = audit(analysis, analysis.config.roles or roles, roles)
    if options.format in ("sarif", "github"):
        listed, _ = violations(found)
        if options.format == "sarif":
            _print_json(sarif(listed))
        else:
            _print(github(listed))
        return 0
    if options.json or options.format == "json":
        _print_json(only(as_json(found), options.area, options.relation) | {"discovered": proposed})
        return 0
    if proposed and roles:
        print(
            f"there is no {configuration.FILE}: these roles are proposals; ssot init writes them down"
        )
    _print(audit_text(found, options.area, options.relation))
    if proposed and not (roles or found.duplicates):
        print(
            "no two classes do the same thing, and no class name is defined twice; a role that you know "
            f'of needs two lines in {configuration.FILE}: [roles.NAME] and canonical = "package.module:Name"'
        )
    return 0


def _refs(options: argparse.Namespace) -> int:
    from ssot.roles.audit import readings_of
    from ssot.roles.references import IMPORTING, References, importers, statements
    from ssot.roles.scan import files_where

    analysis = _analysed(options)
    symbols = {one for one in options.what if ":" in one}
    modules = {one for one in options.what if ":" not in one}
    homes = modules | {one.partition(":")[0] for one in symbols}
    for name in modules:
        if not analysis.project.exists(name) and not analysis.project.ours(name):
            raise ConfigError(
                f"there is no module {name!r} in this tree; write a symbol as module:Name"
            )
    readings = readings_of(analysis, analysis.config.roles)
    references = References(readings, symbols, homes)
    files = files_where(analysis, references.questions())
    readings.prepare(path for paths in files for path in paths)
    found = references.find(*files)
    readings.keep()
    if options.json:
        _print_json({"refs": [one.as_json() for one in found]})
        return 0
    for one in found:
        name = f":{one.name}" if one.name else ""
        via = f" through {', '.join(one.via)}" if one.via else ""
        print(
            f"{one.path}:{one.line}: {one.kind} {one.module}{name} ({one.place}) -> {one.target}{via}"
        )
    meant = [one for one in found if one.target in symbols or one.module in modules]
    importing = [one for one in meant if one.kind in IMPORTING]
    print(
        f"{len(importers(importing))} files import it in {len(statements(importing))} statements; "
        f"{len(meant) - len(importing)} other references"
    )
    return 0


def _explain(options: argparse.Namespace) -> int:
    from ssot.explain import explain, number_in
    from ssot.roles.audit import audit

    number = number_in(options.number)
    root = _root(options)
    analysis = analyse_revision(root, options.at) if options.at else _analysed(options)
    names = tuple(name.strip() for name in options.names.split(",") if name.strip())
    found = explain(audit(analysis, analysis.config.roles), number, names, options.definition)
    if options.json:
        _print_json(found.as_json())
        return 1 if found.refuted else 0
    print(f"{number}: {found.tried} definitions tried, {len(found.matches)} give it")
    for one in found.matches[:20]:
        print(f"  {one.definition}")
        _print(f"      {path}" for path in one.files[:6])
        if len(one.files) > 6:
            print(f"      and {len(one.files) - 6} more files")
    if not found.matches:
        print("nearest:")
        _print(f"  {one.count} {one.definition}" for one in found.nearest)
    if found.refuted is not None:
        print(f"refuted: {found.refuted.count} {found.refuted.definition}")
    if found.written_at:
        print("written at:")
        _print(f"  {path}:{line}" for path, line in found.written_at[:10])
    return 1 if found.refuted else 0


def _tests(options: argparse.Namespace) -> int:
    from ssot.roles.audit import audit
    from ssot.trust import test_files

    analysis = _analysed(options)
    found = test_files(audit(analysis, analysis.config.roles, _roles(analysis, options.role)))
    if options.json:
        _print_json({"tests": [one.as_json() for one in found]})
        return 0
    for one in found:
        if one.protects or one.trust:
            print(f"{one.path}: {one.functions} tests")
            _print(f"  protects {symbol}" for symbol in one.protects)
            _print(f"  {one.path}:{bad.line}: {bad.rule}: {bad.why}" for bad in one.trust)
    doubtful = sum(bool(one.trust) for one in found)
    print(f"{len(found)} files of tests; {sum(bool(one.protects) for one in found)} refer to a member; "
          f"{doubtful} cannot be trusted wholly")  # fmt: skip
    return 0


def _guard(options: argparse.Namespace) -> int:
    from ssot.guard import FILE, Baseline, judge, tighten, write
    from ssot.roles.audit import audit
    from ssot.show.formats import github, sarif

    root = _root(options)
    baseline = None if options.write else Baseline.load(root)
    changed = git.changed(root, options.diff) if options.diff else None
    with progress() as tell:
        analysis = _kept(analyse(root, tell))
        found = audit(analysis, analysis.config.roles, imports_only=True, within=changed)
        if baseline is None:
            old = Baseline.load(root).retired if (root / FILE).exists() else set[str]()
            baseline = write(found, old)
            baseline.save(root)
            known = baseline.counts.total()
            print(f"{FILE}: {known} violations are known from now on", file=sys.stderr)
        elif options.tighten:
            baseline = tighten(found, baseline)
            baseline.save(root)
        verdict = judge(found, baseline)
    listed = [*verdict.new, *verdict.resurrected, *verdict.slack, *verdict.stale]
    if options.json or options.format == "json":
        _print_json(verdict.as_json())
    elif options.format == "sarif":
        _print_json(sarif(listed))
    elif options.format == "github":
        _print(github(listed))
    else:
        for title in ("new", "resurrected", "slack", "stale"):
            for one in getattr(verdict, title):
                print(f"{one.path}:{one.line}: {title} {one.rule}: {one.message}")
        state = "ok" if verdict.ok else "not ok"
        print(
            f"{state}: {len(listed)} to mend, {verdict.known} known, {verdict.allowed} allowed by comments"
        )
    return 0 if verdict.ok else 1


def _one_role(roles: dict[str, configuration.Role], wanted: str | None) -> str:
    """Raises `ConfigError` where it must be said which."""
    if wanted is None and len(roles) == 1:
        return next(iter(roles))
    if wanted is None or wanted not in roles:
        said = "say which role" if wanted is None else f"there is no role {wanted!r}"
        there = ", ".join(sorted(roles)) or f"none; ssot init proposes a {configuration.FILE}"
        raise ConfigError(f"{said}: --role; there are: {there}")
    return wanted


def _plan(options: argparse.Namespace) -> int:
    from ssot.change.plan import plan
    from ssot.roles.audit import audit
    from ssot.show.plan_text import plan_text

    analysis = _analysed(options)
    name = _one_role(analysis.config.roles, options.role)
    found = audit(analysis, analysis.config.roles)
    made = plan(found, found.roles[name])
    if options.json:
        _print_json(made.as_json(analysis.read))
    else:
        _print(plan_text(made, analysis.read))
    return 0


def _migrate(options: argparse.Namespace) -> int:
    from ssot.change.migrate import Migration, Options

    root = _root(options)
    name = _one_role(configuration.load(root).roles, options.role)
    only = None if options.plan is None else _step_ids(options.plan)
    chosen = Options(name, options.tests, options.check, options.timeout, only, options.dry_run)
    outcome = Migration(root, chosen, lambda text: print(text, file=sys.stderr)).run()
    if options.json:
        _print_json(outcome.as_json())
        return 0 if outcome.ok else 1
    if options.dry_run:
        _print(f"{step['kind']:16} {step['id']}" for step in outcome.done)
        return 0
    print(f"{len(outcome.done)} steps committed on {outcome.branch}, in {outcome.worktree}")
    for one in outcome.refused:
        print(f"refused {one['id']}: {one['why']}")
    if outcome.manual is not None:
        print(f"by hand: {outcome.manual['id']}: {outcome.manual['why']}")
        for one in outcome.manual["differences"]:
            print(f"  {one['path']}:{one['line']}: {one['why']}")
        print(f"commit it in {outcome.worktree}, then run ssot migrate again")
    return 0 if outcome.ok else 1


def _step_ids(path: Path) -> frozenset[str]:
    try:
        document = json.loads(path.read_text("utf-8"))
        return frozenset(step["id"] for step in document["steps"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no plan (ssot plan --json): {error}") from error


def _gate(options: argparse.Namespace) -> int:
    from ssot.change.migrate import gate

    results = gate(_root(options), options.old, options.new, options.tests, options.timeout)
    ok = all(one.ok for one in results)
    if options.json:
        _print_json({"ok": ok, "gates": [one.as_json() for one in results]})
    else:
        for one in results:
            print(
                f"{'open  ' if one.ok else 'closed'} {one.gate}: {len(one.new)} new, {len(one.gone)} gone"
            )
            _print(
                f"  {bad['path']}:{bad['line']}: {bad['key']} ({bad['status']})" for bad in one.new
            )
    return 0 if ok else 1


def _report(options: argparse.Namespace) -> int:
    from ssot.roles.audit import audit
    from ssot.show.report import report

    analysis = _analysed(options)
    roles = _roles(analysis, None)
    with progress() as tell:
        page = report(audit(analysis, roles), max(0, min(options.history, 10)), tell)
    options.output.write_text(page, "utf-8")
    if options.json:
        _print_json({"path": str(options.output), "bytes": len(page.encode())})
    else:
        print(f"{options.output}: {len(page.encode()) // 1024} KiB, to be opened in a browser")
    return 0


def _export(options: argparse.Namespace) -> int:
    from ssot.roles.audit import audit
    from ssot.show.formats import tid251

    analysis = _analysed(options)
    banned = tid251(audit(analysis, _roles(analysis, None)))
    if options.json:
        _print_json({"banned": banned})
        return 0
    print("[tool.ruff.lint.flake8-tidy-imports.banned-api]")
    for name, message in banned.items():
        print(f"{json.dumps(name)}.msg = {json.dumps(message, ensure_ascii=False)}")
    return 0


def _rules(options: argparse.Namespace) -> int:
    from ssot.rules import RULES
    from ssot.show.rule_page import page

    if options.rule is None:
        if options.json:
            _print_json({"rules": [{"name": r.name, "summary": r.summary} for r in RULES.values()]})
        else:
            _print(f"{rule.name:22} {rule.summary}" for rule in RULES.values())
        return 0
    if options.rule not in RULES:
        raise ConfigError(f"there is no rule {options.rule!r}; ssot rules lists them")
    print(page(RULES[options.rule]))
    return 0


def _schema(options: argparse.Namespace) -> int:
    from ssot.show.schema import schema_of

    _print_json(schema_of(options.of))
    return 0

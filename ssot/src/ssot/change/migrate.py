"""Executing a plan: each step is a commit on a branch of its own, or it never happened.

The steps are made in a git worktree beside the repository; the user's checkout is not touched. The
plan is reckoned anew after each step, from the tree as it is then: so a migration can be stopped
anywhere, and goes on where the branch ends. What was refused, and the tests' results before the
first step, are kept in git's own folder.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssot import git
from ssot.analysis import Analysis, analyse, analyse_revision
from ssot.change.edits import apply
from ssot.change.gates import GateResult, static_gates
from ssot.change.plan import Plan, Step, plan
from ssot.change.running import newly_failing, run_command, run_tests
from ssot.errors import ConfigError, GitError, Refused, SsotError
from ssot.guard import FILE, Baseline
from ssot.roles.audit import audit
from ssot.trust import test_functions

Say = Callable[[str], None]


@dataclass
class Options:
    """How to migrate."""

    role: str
    tests: str | None = None
    """A command that takes pytest's options and paths; without it no test is run."""
    check: str | None = None
    """A command that must succeed after each step: the golden path."""
    seconds: float = 600.0
    """For one run of a command."""
    only: frozenset[str] | None = None
    """Steps that may be made, by id; None: all."""
    dry_run: bool = False


@dataclass
class Outcome:
    """What became of a migration."""

    branch: str
    worktree: str
    done: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    refused: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    manual: dict[str, Any] | None = None
    left: int = 0

    @property
    def ok(self) -> bool:
        return not self.refused and self.manual is None

    def as_json(self) -> dict[str, Any]:
        return {"ok": self.ok, **vars(self)}


@dataclass
class _State:
    """What is remembered between runs, in git's folder."""

    tests: dict[str, str] = field(default_factory=dict[str, str])
    files: list[str] = field(default_factory=list[str])
    """Files of tests whose results are known."""
    refused: dict[str, str] = field(default_factory=dict[str, str])
    kept: list[str] = field(default_factory=list[str])
    """What the first plan kept: a core that fewer call than before is none the less one."""
    reached: str = ""
    """The newest commit whose gates were open."""

    @classmethod
    def load(cls, path: Path) -> _State:
        try:
            return cls(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(vars(self), indent=1), "utf-8")


class Migration:
    """One role's migration in one repository."""

    def __init__(self, root: Path, options: Options, say: Say) -> None:
        """Raises `GitError`, `ConfigError`."""
        self._root = root
        self._options = options
        self._say = say
        self._top = git.top(root)
        self._below = root.resolve().relative_to(self._top.resolve())
        self._branch = f"ssot/{options.role}"
        common = Path(git.run(root, "rev-parse", "--git-common-dir").decode().strip())
        self._home = (root / common).resolve() / "ssot" / options.role
        self._worktree = self._home / "tree"
        self._state_path = self._home / "state.json"
        self._state = _State.load(self._state_path)

    @property
    def _tree(self) -> Path:
        return self._worktree / self._below

    def run(self) -> Outcome:
        """Go as far as it goes. Raises `SsotError` for what cannot run at all."""
        dirty = git.lines(self._root, "status", "--porcelain", "--untracked-files=no", "--", ".")
        if dirty and not self._options.dry_run:
            raise GitError(f"the tree is not clean ({dirty[0].strip()}): commit or stash first")
        if self._options.dry_run:
            return self._planned(self._root)
        self._open()
        outcome = Outcome(self._branch, str(self._worktree))
        self._person()
        tried: set[str] = set()
        began, total = time.monotonic(), 0
        while True:
            analysis, current = self._plan()
            waiting = [s for s in current.steps if self._wanted(s) and s.id not in tried]
            waiting = [s for s in waiting if s.id not in self._state.refused]
            total = max(total, len(tried) + len(waiting))
            step = next(
                (s for s in waiting if s.kind != "manual" and self._ready(s, current)), None
            )
            if step is None:
                break
            tried.add(step.id)
            self._tell_progress(began, len(tried), total, step)
            self._try(step, analysis, outcome)
        stuck = next((s for s in current.steps if s.kind == "manual"), None)
        if stuck is not None:
            outcome.manual = stuck.as_json(analysis.read)
        outcome.refused = [{"id": one, "why": why} for one, why in self._state.refused.items()]
        outcome.left = len(current.steps)
        self._state.save(self._state_path)
        return outcome

    def _planned(self, root: Path) -> Outcome:
        analysis = analyse(root)
        current = self._plan_of(analysis)
        outcome = Outcome(self._branch, "", left=len(current.steps))
        outcome.done = [step.as_json(analysis.read) for step in current.steps if self._wanted(step)]
        return outcome

    # -- worktree and branch ------------------------------------------------------------------

    def _open(self) -> None:
        """Make the branch and its worktree, or find them as they were left."""
        git.run(self._root, "var", "GIT_COMMITTER_IDENT")  # without a name no step can be committed
        git.run(self._root, "worktree", "prune")
        branches = git.lines(
            self._root, "branch", "--list", "--format=%(refname:short)", self._branch
        )
        if not self._worktree.exists():
            self._home.mkdir(parents=True, exist_ok=True)
            new = [] if branches else ["-b"]
            if branches:
                git.run(self._root, "worktree", "add", str(self._worktree), self._branch)
            else:
                git.run(
                    self._root, "worktree", "add", *new, self._branch, str(self._worktree), "HEAD"
                )
                self._state = _State()
        elif git.lines(self._worktree, "status", "--porcelain"):
            raise GitError(
                f"the worktree {self._worktree} is not clean: commit there what you did, or run "
                "git checkout . in it"
            )

    def _head(self) -> str:
        return git.revision(self._worktree, "HEAD")

    def _person(self) -> None:
        """Commits that somebody made on the branch meanwhile must pass the gates, too."""
        head = self._head()
        if not self._state.reached:
            _, first = self._plan()
            self._state.kept = [symbol for symbol, _ in first.kept]
            self._record(first)
            self._state.reached = head
        elif head != self._state.reached:
            before = analyse_revision(self._tree, self._state.reached)
            after = analyse(self._tree)
            self._gates(
                before, after, _renames(self._worktree, self._state.reached, self._below), None
            )
            self._say(f"commits by hand passed the gates: {self._state.reached[:8]}..{head[:8]}")
            self._state.reached = head
            self._state.refused.clear()
        self._state.save(self._state_path)

    def _record(self, first: Plan) -> None:
        """How the protecting tests do before anything is changed."""
        if self._options.tests is None:
            return
        paths = sorted({path for step in first.steps for path in step.tests})
        paths = [path for path in paths if (self._tree / path).exists()]
        if paths:
            self._say(f"recording {len(paths)} files of tests as they are")
            self._state.files = paths
            self._state.tests = run_tests(
                self._options.tests, paths, self._tree, self._options.seconds
            )

    # -- steps --------------------------------------------------------------------------------

    def _plan(self) -> tuple[Analysis, Plan]:
        analysis = analyse(self._tree)
        return analysis, self._plan_of(analysis)

    def _plan_of(self, analysis: Analysis) -> Plan:
        if self._options.role not in analysis.config.roles:
            there = ", ".join(sorted(analysis.config.roles)) or "none"
            raise ConfigError(
                f"there is no role {self._options.role!r} in ssot.toml; there are: {there}"
            )
        found = audit(analysis, analysis.config.roles)
        made = plan(found, found.roles[self._options.role])
        made.steps = [step for step in made.steps if step.target not in self._state.kept]
        return made

    def _wanted(self, step: Step) -> bool:
        return self._options.only is None or step.id in self._options.only

    def _ready(self, step: Step, current: Plan) -> bool:
        """Nothing that it needs is still to be done."""
        return not {one.id for one in current.steps}.intersection(step.needs)

    def _tell_progress(self, began: float, number: int, total: int, step: Step) -> None:
        spent = time.monotonic() - began
        left = spent / max(number - 1, 1) * (total - number + 1) if number > 1 else 0
        about = f", about {left:.0f} s left" if left > 1 else ""
        self._say(f"[{number}/{total}{about}] {step.id}")

    def _try(self, step: Step, before: Analysis, outcome: Outcome) -> None:
        old = {edit.path: before.read(edit.path) for edit in step.edits}
        before.kept = old
        try:
            self._write(step, old)
            after = analyse(self._tree)
            gates = self._gates(before, after, {}, step)
            commit = self._commit(step)
        except (SsotError, ValueError) as error:
            self._restore(old)
            self._state.refused[step.id] = str(error)
            self._state.save(self._state_path)
            self._say(f"  refused: {error}")
            return
        except BaseException:
            self._restore(old)
            raise
        self._state.reached = commit
        self._state.save(self._state_path)
        outcome.done.append({"id": step.id, "commit": commit, "gates": [g.gate for g in gates]})

    def _write(self, step: Step, old: dict[str, bytes]) -> None:
        for path, data in old.items():
            after = apply(data, [edit for edit in step.edits if edit.path == path])
            place = self._tree / path
            if after is None:
                place.unlink()
            else:
                place.write_bytes(after)

    def _restore(self, old: dict[str, bytes]) -> None:
        for path, data in old.items():
            place = self._tree / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)

    def _gates(
        self, before: Analysis, after: Analysis, renames: dict[str, str], step: Step | None
    ) -> list[GateResult]:
        """Raises `Refused` with the first gate that is closed."""
        results = static_gates(before, after, renames)
        for gate in results:
            if not gate.ok:
                first = gate.new[0]
                raise Refused(f"gate {gate.gate}: {first['path']}:{first['line']} {first['key']}")
        if self._options.tests is not None:
            wanted = sorted(self._state_files(step, after))
            if wanted:
                now = run_tests(self._options.tests, wanted, self._tree, self._options.seconds)
                worse = newly_failing(self._state.tests, now)
                if worse:
                    raise Refused(f"gate tests: {worse[0]} passed before, and fails now")
                self._state.tests |= now
            results.append(GateResult("tests"))
        if self._options.check is not None:
            ran = run_command(self._options.check, self._tree, self._options.seconds)
            if ran.code is None:
                raise Refused(f"gate check: {self._options.check!r} hangs: {ran.words}")
            if ran.code:
                last = ran.words.strip().splitlines()[-1:] or [""]
                raise Refused(f"gate check: {self._options.check!r} failed: {last[0]}")
            results.append(GateResult("check"))
        return results

    def _state_files(self, step: Step | None, after: Analysis) -> set[str]:
        paths = self._state.files if step is None else step.tests
        return {path for path in paths if path in after.project.by_path}

    def _commit(self, step: Step) -> str:
        paths = sorted({str(self._below / edit.path) for edit in step.edits})
        if step.kind == "delete" and (self._tree / FILE).exists():
            baseline = Baseline.load(self._tree)
            whole = any(edit.delete for edit in step.edits)
            baseline.retired.add(step.target.partition(":")[0] if whole else step.target)
            baseline.save(self._tree)
            paths.append(str(self._below / FILE))
        git.run(self._worktree, "add", "--all", "--", *paths)
        subject = f"ssot: {step.kind.replace('_', ' ')} {step.target}"
        body = f"{step.why[:1].upper()}{step.why[1:]}.\n\nStep: {step.id}\nRisk: {step.risk}"
        git.run(self._worktree, "commit", "--quiet", "--no-verify", "-m", subject, "-m", body)
        return self._head()


def _renames(worktree: Path, since: str, below: Path, until: str = "HEAD") -> dict[str, str]:
    """Old path -> new path of what git takes for renamed, below a folder."""
    found: dict[str, str] = {}
    prefix = "" if below == Path() else below.as_posix() + "/"
    for line in git.lines(worktree, "diff", "--find-renames", "--name-status", since, until):
        parts = line.split("\t")
        if parts[0].startswith("R") and all(one.startswith(prefix) for one in parts[1:]):
            found[parts[1][len(prefix) :]] = parts[2][len(prefix) :]
    return found


def gate(
    root: Path, old: str, new: str, tests: str | None = None, seconds: float = 600.0
) -> list[GateResult]:
    """The gates between two revisions; with a command also the tests that the change concerns.

    Raises `GitError`, `ConfigError`, `SsotError`.
    """
    before, after = analyse_revision(root, old), analyse_revision(root, new)
    top = git.top(root)
    below = root.resolve().relative_to(top.resolve())
    results = static_gates(before, after, _renames(top, old, below, new))
    if tests is not None:
        results.append(_tests_gate(root, below, (old, before), (new, after), tests, seconds))
    return results


def _tests_gate(
    root: Path, below: Path, old: tuple[str, Analysis], new: tuple[str, Analysis], command: str,
    seconds: float,
) -> GateResult:  # fmt: skip
    """Test files that changed or import what changed, run in worktrees of both revisions."""
    paths = _concerned(old[1], new[1])
    result = GateResult("tests")
    outcomes: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="ssot-") as folder:
        for number, (revision, analysis) in enumerate((old, new)):
            place = Path(folder) / str(number)
            git.run(root, "worktree", "add", "--detach", "--quiet", str(place), revision)
            try:
                there = [path for path in paths if path in analysis.project.by_path]
                tree = place / below
                outcomes.append(run_tests(command, there, tree, seconds) if there else {})
            finally:
                git.run(root, "worktree", "remove", "--force", str(place))
    before, after = outcomes
    for name in newly_failing(before, after):
        status = "modified" if name in before else "added"
        result.new.append(
            {"path": name.partition("::")[0], "line": 1, "key": name, "status": status}
        )
    return result


def _concerned(before: Analysis, after: Analysis) -> list[str]:
    """Tests of what changed, and of what imports that: farther away would be nearly all of them."""
    changed = {path for path, sha in after.ids.items() if before.ids.get(path) != sha}
    changed |= before.ids.keys() - after.ids.keys()
    found: set[str] = set()
    for analysis in (before, after):
        project = analysis.project
        names = {project.by_path[path].name for path in changed if path in project.by_path}
        near = {one.module.name for one in project.imports_of(names)}
        users = {one.module.path for one in project.imports_of(names | near)} | changed
        found |= {path for path in users if path in project.by_path
                  and project.by_path[path].area == "test"
                  and test_functions(project.by_path[path].facts)}  # fmt: skip
    return sorted(found)

"""Executing a plan: each step is a commit on a branch of its own, or it never happened.

The steps are made in a git worktree beside the repository; the user's checkout is not touched. The
plan is reckoned anew after each step, from the tree as it is then: so a migration can be stopped
anywhere, and goes on where the branch ends. What was refused, and the tests' results before the
first step, are kept in git's own folder.
"""

from __future__ import annotations

import json
import posixpath
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ssot import git
from ssot.analysis import Analysis, analyse, analyse_revision
from ssot.change.edits import apply
from ssot.change.gates import GateResult, static_gates
from ssot.change.plan import Plan, Step, plan
from ssot.change.running import newly_failing, run_command, run_tests
from ssot.config import FILE as CONFIGURATION
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
    """Since the last command: each tries again what was refused before it."""
    trying: str = ""
    """The commit on which a step was begun that has not ended: what is not committed is that step's."""
    unproved: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """Steps (id, commit) since all tests were run."""
    recorded: bool = False
    """The tests' results before the first step are known."""
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
        self._editing: frozenset[str] = frozenset()
        """Paths (from the repository's top) that a step is changing."""

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
        self._state.refused.clear()
        self._person()
        if (
            self._options.check is not None
            and (why := self._checked(self._options.check)) is not None
        ):
            raise SsotError(f"before any step: {why}; a command that fails already can judge none")
        while True:
            current, analysis = self._steps(outcome)
            if not self._whole(outcome):
                break
        stuck = next((s for s in current.steps if s.kind == "manual"), None)
        if stuck is not None:
            outcome.manual = stuck.as_json(analysis.read)
        outcome.refused = [{"id": one, "why": why} for one, why in self._state.refused.items()]
        outcome.left = len(current.steps)
        self._state.save(self._state_path)
        return outcome

    def _steps(self, outcome: Outcome) -> tuple[Plan, Analysis]:
        """Make one step after the other; gives what is left to do."""
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
        return current, analysis

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
        if (self._root / CONFIGURATION).exists() and not git.lines(
            self._root, "ls-files", "--", CONFIGURATION
        ):
            raise GitError(f"{CONFIGURATION} is not committed, so the branch would not have it")
        branches = git.lines(
            self._root, "branch", "--list", "--format=%(refname:short)", self._branch
        )
        if not self._worktree.exists():
            self._home.mkdir(parents=True, exist_ok=True)
            place = str(self._worktree)
            if branches:
                git.run(self._root, "worktree", "add", place, self._branch)
            else:
                git.run(self._root, "worktree", "add", "-b", self._branch, place, "HEAD")
                self._state = _State()
        on = git.lines(self._worktree, "rev-parse", "--abbrev-ref", "HEAD")
        if on != [self._branch]:
            raise GitError(
                f"the worktree {self._worktree} is not on {self._branch}: check that out in it"
            )
        if self._state.trying and self._state.trying == self._head():
            self._say("an earlier command was ended within a step: its changes are put back")
            self._put_back()
        self._state.trying = ""
        if git.lines(self._worktree, "status", "--porcelain"):
            raise GitError(
                f"the worktree {self._worktree} is not clean: commit there what you did, or run "
                "git reset --hard in it"
            )
        self._follow()

    def _follow(self) -> None:
        """A branch that was merged goes on from where the checkout is; one that was not stays."""
        head, root = self._head(), git.revision(self._root, "HEAD")
        if head != root and git.lines(self._root, "merge-base", head, root) == [head]:
            git.run(self._worktree, "merge", "--ff-only", "--quiet", root)
            self._state = _State()

    def _put_back(self) -> None:
        """The worktree as its last commit has it; what commands left in it, too. Ignored files stay."""
        git.run(self._worktree, "reset", "--hard", "--quiet")
        git.run(self._worktree, "clean", "-d", "--force", "--quiet")

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
            self._state.unproved.clear()  # the gates of a person's commits ran all tests
        self._state.save(self._state_path)

    def _record(self, first: Plan) -> None:
        """How the tests do before anything is changed: all that the command runs."""
        if self._options.tests is None or not any(step.tests for step in first.steps):
            return
        self._say("recording the tests as they are")
        self._state.tests = self._run_tests([])
        self._state.files = sorted({path for step in first.steps for path in step.tests})
        self._state.recorded = True

    def _run_tests(self, paths: list[str]) -> dict[str, str]:
        assert self._options.tests is not None
        try:
            return run_tests(
                self._options.tests, paths, self._tree, self._options.seconds, self._source_roots
            )
        finally:
            self._sweep()

    @cached_property
    def _source_roots(self) -> list[str]:
        """So that the worktree's own code is tested, and not what is installed from the checkout."""
        return [root.folder for root in analyse(self._tree).layout.roots]

    def _sweep(self) -> None:
        """Take away what a command left in the worktree beside the step's own edits."""
        edited = self._editing
        changed = git.lines(self._worktree, "diff", "--name-only", "--relative")
        strange = [path for path in changed if path not in edited]
        if strange:
            git.run(self._worktree, "checkout", "--quiet", "--", *strange)
        git.run(self._worktree, "clean", "-d", "--force", "--quiet")

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
        self._know_tests(step)
        self._state.trying = self._head()
        self._state.save(self._state_path)
        self._editing = frozenset(str(self._below / path) for path in old)
        try:
            self._write(step, old)
            after = analyse(self._tree)
            gates = self._gates(before, after, {}, step)
            commit = self._commit(step)
        except ConfigError:  # a command that cannot be run says nothing of the step
            self._ended()
            raise
        except (SsotError, ValueError) as error:
            self._ended()
            self._state.refused[step.id] = str(error)
            self._state.save(self._state_path)
            self._say(f"  refused: {error}")
            return
        except BaseException:
            self._ended()
            raise
        self._editing = frozenset()
        self._state.trying = ""
        self._state.reached = commit
        self._state.unproved.append({"id": step.id, "commit": commit})
        self._state.save(self._state_path)
        outcome.done.append({"id": step.id, "commit": commit, "gates": [g.gate for g in gates]})

    def _ended(self) -> None:
        """Put everything back after a step that did not become a commit."""
        self._editing = frozenset()
        self._put_back()
        self._state.trying = ""
        self._state.save(self._state_path)

    def _know_tests(self, step: Step) -> None:
        """How a step's tests do before it, where that is not known yet."""
        if self._options.tests is None:
            return
        new = [path for path in step.tests
               if path not in self._state.files and (self._tree / path).exists()]  # fmt: skip
        if new:
            self._state.tests = self._run_tests(new) | self._state.tests
            self._state.files = sorted({*self._state.files, *new})

    def _whole(self, outcome: Outcome) -> bool:
        """At the end all tests, also those far from what was changed. True if there is more to do.

        A step after which one fails that passed before is taken back, with what came after it, and
        what came after it is done again.
        """
        steps = self._state.unproved
        if not (steps and self._state.recorded and self._options.tests):
            return False
        self._say("running all tests once more")
        worse = newly_failing(self._state.tests, self._run_tests([]))
        if worse:  # once more: what fails now and then is no step's fault
            again = newly_failing(self._state.tests, self._run_tests([]))
            worse = [test for test in worse if test in again]
        if not worse:
            steps.clear()
            return False
        guilty = self._guilty([one["commit"] for one in steps], worse[0])
        step = steps[guilty]
        back = {one["commit"] for one in steps[guilty:]}
        del steps[guilty:]
        outcome.done = [one for one in outcome.done if one["commit"] not in back]
        git.run(self._worktree, "reset", "--hard", "--quiet", f"{step['commit']}~")
        self._state.refused[step["id"]] = f"gate tests: {worse[0]} passed before, and fails now"
        self._state.reached = self._head()
        self._state.save(self._state_path)
        self._say(f"  taken back: {step['id']}: {worse[0]} fails with it")
        return True

    def _guilty(self, commits: list[str], test: str) -> int:
        """The number of the first commit with which a test fails, by halves."""
        low, high = 0, len(commits) - 1
        try:
            while low < high:
                middle = (low + high) // 2
                git.run(self._worktree, "checkout", "--quiet", "--detach", commits[middle])
                if test in newly_failing(self._state.tests, self._run_tests([])):
                    high = middle
                else:
                    low = middle + 1
        finally:
            git.run(self._worktree, "checkout", "--quiet", self._branch)
        return low

    def _write(self, step: Step, old: dict[str, bytes]) -> None:
        for path, data in old.items():
            after = apply(data, [edit for edit in step.edits if edit.path == path])
            place = self._tree / path
            if after is None:
                place.unlink()
            else:
                place.write_bytes(after)

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
            everything = step is None and self._state.recorded
            wanted = [] if everything else sorted(self._state_files(step, after))
            if wanted or everything:
                now = self._run_tests(wanted)
                worse = newly_failing(self._state.tests, now)
                if worse:
                    raise Refused(f"gate tests: {worse[0]} passed before, and fails now")
                self._state.tests |= now
            results.append(GateResult("tests"))
        if self._options.check is not None:
            why = self._checked(self._options.check)
            if why is not None:
                raise Refused(f"gate check: {why}")
            results.append(GateResult("check"))
        return results

    def _checked(self, command: str) -> str | None:
        """Run the user's command; gives why it does not succeed, if it does not."""
        ran = run_command(command, self._tree, self._options.seconds, self._source_roots)
        self._sweep()
        if ran.code is None:
            return f"{command!r} hangs: {ran.words}"
        if ran.code:
            last = ran.words.strip().splitlines()[-1:] or ["it printed nothing"]
            return f"{command!r} failed: {last[0]}"
        return None

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
        # What hooks and signatures are for is a person's commit: the branch is reviewed as a whole.
        git.run(
            self._worktree, "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--no-verify",
            "--no-gpg-sign", "-m", subject, "-m", body,
        )  # fmt: skip
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
                roots = [root.folder for root in analysis.layout.roots]
                outcomes.append(run_tests(command, there, tree, seconds, roots) if there else {})
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
        folders = [posixpath.dirname(path) for path in users if path.endswith("conftest.py")]
        users |= {path for path in project.by_path for folder in folders
                  if path.startswith(f"{folder}/" if folder else "")}  # fmt: skip
        found |= {path for path in users if path in project.by_path
                  and project.by_path[path].area == "test"
                  and test_functions(project.by_path[path].facts)}  # fmt: skip
    return sorted(found)

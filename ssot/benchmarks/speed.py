"""`make bench-ssot`: how fast a large tree is read, and with how much memory.

The tree is made of installed packages, copied until it has 10,000 files and 4 million lines; copies differ in
every file, so that nothing is read once for several. Times are of whole commands. Trees of a quarter and a half
of that are read in the same run, to see what a line costs in each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

FILES, LINES = 10_000, 4_000_000
_ROLES = """[roles.console]
canonical = "copy00.rich.console:Console"

[roles.response]
canonical = "copy00.starlette.responses:Response"
events = ["http.response.start", "http.response.body"]
"""


def build(target: Path, files: int, lines: int) -> tuple[int, int]:
    """Copy packages until there is enough, and commit them; gives files and lines."""
    base = Path(sysconfig.get_paths()["purelib"])
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    found: list[tuple[Path, str, bytes]] = []
    for root in (base, stdlib):
        for path in sorted(root.rglob("*.py")):
            relative = path.relative_to(root).as_posix()
            if "site-packages" in relative or "/lib2to3/tests/" in relative or "/test/" in relative:
                continue
            data = path.read_bytes()
            if 500 < len(data) < 400_000:
                found.append((path, relative, data))
    mean = sum(data.count(b"\n") for _, _, data in found) / len(found)
    wanted = lines / files
    if mean < wanted:  # leave the shortest out until the mean is right
        found.sort(key=lambda one: one[2].count(b"\n"))
        while sum(d.count(b"\n") for _, _, d in found) / len(found) < wanted:
            found = found[max(1, len(found) // 200) :]
    # The roles' packages first, the others in no order: a part of the tree is like the whole.
    random.Random(0).shuffle(found)
    found.sort(key=lambda one: not one[1].startswith(("rich/", "starlette/")))
    done, total, copy = 0, 0, 0
    while done < files:
        for _, relative, data in found:
            if done >= files:
                break
            place = target / f"copy{copy:02}" / relative
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data + b"\n# copy %d\n" % copy)
            done += 1
            total += data.count(b"\n") + 2
        copy += 1
    (target / "ssot.toml").write_text(_ROLES)
    # No packing in the background: it would take a core of what is measured.
    git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "gc.auto=0",
           "-c", "maintenance.auto=false"]  # fmt: skip
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "tree"]):
        subprocess.run([*git, *command], cwd=target, check=True)
    os.sync()
    return done, total


def run(tree: Path, cache: Path, *arguments: str) -> tuple[float, float, bytes]:
    """Seconds, peak MiB over all processes, and what was printed."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "ssot", *arguments, "--root", str(tree)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=tree,
    )  # fmt: skip
    peak = 0.0
    parts: list[bytes] = []
    import threading

    reader = threading.Thread(target=lambda: parts.append(process.stdout.read()))  # type: ignore[union-attr]
    reader.start()
    while process.poll() is None:
        peak = max(peak, _memory(process.pid))
        time.sleep(0.2)
    reader.join()
    seconds = time.monotonic() - began
    if process.returncode not in (0, 1):
        raise SystemExit(process.stderr.read().decode())  # type: ignore[union-attr]
    return seconds, peak, parts[0]


def _memory(pid: int) -> float:
    """Proportional set size of a process and its children, MiB."""
    total = 0
    children = subprocess.run(
        ["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False
    )
    for one in [str(pid), *children.stdout.split()]:
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def _cost(lines: int, tree: Path, cache: Path, cold: float) -> dict[str, float]:
    """What a line costs: us of a cold and of a warm audit."""
    warm = min(run(tree, cache, "audit", "--json")[0] for _ in range(3))
    return {
        "lines": lines,
        "cold us": round(cold * 1e6 / lines, 2),
        "warm us": round(warm * 1e6 / lines, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ssot-bench-") as folder:
        curve: list[dict[str, float]] = []
        for share in (4, 2):
            part, cache = Path(folder) / f"part{share}", Path(folder) / f"cache{share}"
            part.mkdir()
            _, lines = build(part, options.files // share, options.lines // share)
            curve.append(_cost(lines, part, cache, run(part, cache, "audit", "--json")[0]))
            shutil.rmtree(part)
        tree, cache = Path(folder) / "tree", Path(folder) / "cache"
        tree.mkdir()
        files, lines = build(tree, options.files, options.lines)
        figures: dict[str, object] = {
            "files": files, "lines": lines, "cores": os.cpu_count(),
            "python": platform.python_version(),
        }  # fmt: skip
        cold, peak, _ = run(tree, cache, "audit", "--json")
        figures |= {"cold audit s": cold, "cold audit peak MiB": peak}
        curve.append(_cost(lines, tree, cache, cold))
        warm = [run(tree, cache, "audit", "--json") for _ in range(3)]
        figures |= {
            "warm audit s": min(w[0] for w in warm),
            "warm audit peak MiB": max(w[1] for w in warm),
        }
        run(tree, cache, "guard", "--write")
        changed = sorted((tree / "copy00").rglob("*.py"))[:20]
        for path in changed:
            path.write_bytes(path.read_bytes() + b"# changed\n")
        diff = run(tree, cache, "guard", "--diff", "HEAD")
        again = [run(tree, cache, "guard", "--diff", "HEAD") for _ in range(3)]
        figures |= {"guard --diff of 20 files s": diff[0], "again s": min(a[0] for a in again)}
        shutil.rmtree(cache)
        figures["guard --diff without a cache s"] = run(tree, cache, "guard", "--diff", "HEAD")[0]
    figures["by lines"] = curve
    figures["peak of this process MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, value in figures.items():
        print(f"{name:32} {value:.2f}" if isinstance(value, float) else f"{name:32} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

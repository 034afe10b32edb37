"""The summary as one HTML page, with plots: nothing in it comes from elsewhere."""

from __future__ import annotations

import html
import io
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

from tests.proof.report import LIMIT_SECONDS, Proof, injected, markdown


def page(proof: Proof) -> str:
    """Make the page."""
    rows: list[str] = []
    in_table = False
    for line in markdown(proof).splitlines():
        if line.startswith("|"):
            if set(line) <= set("|-: "):
                continue
            cells = [_inline(cell.strip()) for cell in line.strip("|").split("|")]
            if not in_table:
                rows.append("<table>")
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
            in_table = True
            continue
        if in_table:
            rows.append("</table>")
            in_table = False
        if line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            rows.append(f"<h{level}>{_inline(line.lstrip('# '))}</h{level}>")
            rows.append(_PLOTS.get(line, lambda _: "")(proof))
        elif line.startswith("- "):
            rows.append(f"<li>{_inline(line[2:])}</li>")
        elif line:
            rows.append(_inline(line))
        else:
            rows.append("<p>")
    return _PAGE.format(body="\n".join(rows))


def _inline(text: str) -> str:
    parts = html.escape(text).split("`")
    code = "".join(f"<code>{p}</code>" if n % 2 else p for n, p in enumerate(parts))
    bold = code.split("**")
    return "".join(f"<b>{p}</b>" if n % 2 else p for n, p in enumerate(bold))


def _svg(draw: Any) -> str:
    stream = io.StringIO()
    draw.savefig(stream, format="svg", bbox_inches="tight")
    plt.close(draw)
    return "<svg" + stream.getvalue().partition("<svg")[2]


def _plot_recovery(proof: Proof) -> str:
    figure, axes = plt.subplots(figsize=(7, 2.6))
    axes.ecdf(proof.kills.each_resumed, label="each reader's own run", color="#8aa")
    axes.ecdf(proof.kills.first_resumed, label="first resumed event", color="#135")
    axes.axvline(LIMIT_SECONDS, color="#b33", linestyle=":", label=f"limit {LIMIT_SECONDS} s")
    axes.set_xlabel("seconds from process start")
    axes.set_ylabel("share")
    axes.set_xlim(left=0)
    axes.legend(frameon=False)
    return _svg(figure)


def _plot_planted(proof: Proof) -> str:
    found = sorted(seeds for seeds in proof.planted.values() if seeds is not None)
    figure, axes = plt.subplots(figsize=(7, 2.2))
    axes.ecdf(found, color="#135")
    axes.set_xscale("log")
    axes.set_xlabel("seeds until a planted bug is found")
    axes.set_ylabel("share of bugs")
    return _svg(figure)


def _plot_injected(proof: Proof) -> str:
    counts = injected(proof)
    figure, axes = plt.subplots(figsize=(7, 2.8))
    axes.barh([name.removesuffix(" by") for name in counts], list(counts.values()), color="#8aa")
    axes.set_xlabel("times injected")
    return _svg(figure)


_PLOTS = {
    "## Deterministic simulation": _plot_injected,
    "## Planted bugs": _plot_planted,
    "## kill -9": _plot_recovery,
}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>goldenpath: proof</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem;
  color: #222 }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0;
  display: block; overflow-x: auto }}
td {{ border-bottom: 1px solid #ddd; padding: .2rem .8rem .2rem 0; vertical-align: top }}
tr:first-child td {{ font-weight: 600; border-bottom: 2px solid #999 }}
code {{ background: #f3f3f3; padding: 0 .2rem }} svg {{ max-width: 100%; height: auto }}
</style></head><body>
{body}
</body></html>
"""

"""The bench's report: one JSON and one HTML file, and the matrix for the docs.

Owns the words and the drawing only. The HTML needs nothing from elsewhere.
"""

import html
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from hil.campaign import Run
from hil.comparison import Judged, matrix, summary
from hil.scraped import Scraped

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
td, th { border: 1px solid #8885; padding: .2rem .5rem; text-align: right; vertical-align: top }
td:nth-child(-n+2), th:nth-child(-n+2), .words td { text-align: left }
.good { background: #2a92 } .bad { background: #d334 } .unknown { background: #8883 }
@media (prefers-color-scheme: dark) { body { background: #14171a; color: #dde } }
"""


def write(
    directory: Path, runs: Sequence[Run], scenarios: Sequence[tuple[str, str, str]]
) -> tuple[Path, Path]:
    """Write ``hil.json`` and ``hil.html``. `scenarios`: (name, passed|failed|skipped, why)."""
    directory.mkdir(parents=True, exist_ok=True)
    as_json, as_html = directory / "hil.json", directory / "hil.html"
    found = {"campaigns": [_run(run) for run in runs], "scenarios": [list(s) for s in scenarios]}
    as_json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    as_html.write_text(_html(runs, scenarios), "utf-8")
    return as_json, as_html


def _run(run: Run) -> dict[str, object]:
    comparison = run.told.comparison
    heads, rows = matrix(comparison)
    return {
        "seed": run.seed,
        "agents": run.agents,
        "drivers": run.drivers,
        "seconds": round(run.seconds, 1),
        "left_out": [list(pair) for pair in run.left_out],
        "faults": [asdict(entry) for entry in run.ledger.entries],
        "matrix": {"heads": heads, "rows": rows},
        "share_right": comparison.share,
        "lost": len(comparison.lost),
        "right": comparison.right,
        "unknown": comparison.unknown,
        "wrong": len(comparison.wrong),
        "blamed_on_power": len(comparison.blamed),
        "false_losses": len(comparison.false),
        "shortcomings": comparison.shortcomings(),
        "prometheus": [] if run.scraped is None else scraped_lines(run.scraped),
        "losses": [_judged(one) for one in comparison.judged],
    }


def _judged(one: Judged) -> dict[str, object]:
    loss = one.loss
    return {
        "gateway": loss.gateway,
        "fault": one.fault,
        "number": None if one.entry is None else one.entry.number,
        "incident": one.incident.identity,
        "lost_ns": loss.lost_ns,
        "returned_ns": loss.returned_ns,
        "cause": loss.cause.value,
        "confidence": loss.confidence.value,
        "held_by": loss.held_by.value,
        "right": one.right,
        "held_right": one.held_right,
        "again_or_beside": one.echo or one.beside,
        "proofs": [proof.text for proof in loss.proofs],
    }


def scraped_lines(judge: Scraped) -> list[str]:
    """Return what the second judge says, a line each."""
    drops, comparison = judge.looked.report.drops, judge.comparison
    unseen = ", ".join(f"{number} {fault}" for number, fault in judge.unseen) or "none"
    return [
        f"series: {judge.looked.series.source}",
        *(f"note: {note}" for note in judge.looked.series.notes),
        f"drops: {len(drops)}, of them between two scrapes: {judge.hidden};"
        f" faults without a drop: {unseen}",
        f"incidents printed by gateway drops: {len(judge.printed)}",
        *summary(comparison),
        *comparison.shortcomings(),
        *judge.shortcomings(),
    ]


# --- HTML -----------------------------------------------------------------------------------------


def _html(runs: Sequence[Run], scenarios: Sequence[tuple[str, str, str]]) -> str:
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Bench report</title><style>{_STYLE}</style><h1>Bench report</h1>",
    ]
    if scenarios:
        rows = [[name, state, why] for name, state, why in scenarios]
        parts.append("<h2>Scenarios</h2>" + _table(["scenario", "result", ""], rows, words=True))
    for run in runs:
        parts.append(_campaign(run))
    return "\n".join(parts) + "\n"


def _campaign(run: Run) -> str:
    comparison = run.told.comparison
    heads, rows = matrix(comparison)
    parts = [
        f"<h2>Campaign, seed {run.seed}</h2><p>{run.agents} real agents, {run.drivers} drivers,"
        f" {run.seconds:.0f} s</p>",
        _table(heads, rows),
        "<pre>" + html.escape("\n".join(summary(comparison))) + "</pre>",
    ]
    if run.scraped is not None:
        lines = html.escape("\n".join(scraped_lines(run.scraped)))
        head = "The drop read from Prometheus, the evidence from both stores"
        parts.append(f"<h3>{head}</h3><pre>{lines}</pre>")
    for name, reason in run.left_out:
        parts.append(f"<p>left out: {html.escape(name)}: {html.escape(reason)}</p>")
    short = run.shortcomings()
    if short:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in short)
        parts.append(f"<h3>Shortcomings</h3><ul>{items}</ul>")
    cells = [
        [
            one.fault,
            one.loss.gateway,
            one.loss.cause.value,
            one.loss.confidence.value,
            one.loss.held_by.value,
            "right" if one.right else "unknown" if one.unknown else "wrong",
            "; ".join(proof.text for proof in one.loss.proofs),
        ]
        for one in comparison.judged
    ]
    heads = ["fault", "gateway", "cause", "confidence", "held by", "verdict", "evidence"]
    parts.append("<h3>Every loss</h3>" + _table(heads, cells, words=True))
    return "\n".join(parts)


_CLASSES = {
    "right": "good",
    "passed": "good",
    "wrong": "bad",
    "failed": "bad",
    "skipped": "unknown",
}


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, words: bool = False) -> str:
    top = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    kind = ' class="words"' if words else ""
    return f"<table{kind}><tr>{top}</tr>{body}</table>"


def _cell(text: str) -> str:
    kind = _CLASSES.get(text)
    return f'<td class="{kind}">' * bool(kind) + "<td>" * (not kind) + f"{html.escape(text)}</td>"

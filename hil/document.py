"""The confusion matrix as it is kept in the docs: the part of `docs/hil.md` between two marks.

Owns that part only; it is written anew by ``python -m hil campaign --write-docs docs/hil.md``.
"""

from collections.abc import Sequence
from pathlib import Path

from hil.campaign import Run
from hil.comparison import matrix, summary

BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"


def write_docs(path: Path, runs: Sequence[Run]) -> None:
    """Replace the kept part of the page. Raises: ValueError when the marks are not there."""
    text = path.read_text("utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path}: the marks {BEGIN} and {END} are missing")
    parts = "\n\n".join(section(run) for run in runs)
    path.write_text(f"{head}{BEGIN}\n{parts}\n{END}{tail}", "utf-8")


def section(run: Run) -> str:
    """Return one campaign's matrix and figures as Markdown."""
    comparison = run.told.comparison
    heads, rows = matrix(comparison)
    lines = [
        f"Seed {run.seed}: {run.agents} real agents, {run.drivers} drivers, {run.seconds:.0f} s.",
        "",
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        *(f"- {line}" for line in summary(comparison)),
        *(f"- left out: {name}: {reason}" for name, reason in run.left_out),
        *(f"- not as it must be: {line}" for line in comparison.shortcomings()),
    ]
    return "\n".join(lines)

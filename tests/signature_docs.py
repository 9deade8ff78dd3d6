"""Writes the section of docs/operations.md that comes from the table of error strings.

`python -m tests.signature_docs` rewrites it in place; `tests/correlation/test_signatures.py` fails
while the page and the table differ.
"""

import re
import sys
from pathlib import Path

from gateway.correlation.signature import Match, Signature
from gateway.correlation.signatures import SECTIONS

PAGE = Path(__file__).resolve().parents[1] / "docs/operations.md"
BEGIN = "<!-- from gateway/correlation/signatures.py by `python -m tests.signature_docs`: begin -->"
END = "<!-- end -->"


def section() -> str:
    """Return the generated text, markers included."""
    parts = [BEGIN]
    for title, rows in SECTIONS:
        parts.append(f"\n### {title}\n")
        parts.append("| searched for | in the log | seen | probable cause | check | recorded as |")
        parts.append("|---|---|---|---|---|---|")
        parts += [_row(row) for row in rows]
    return "\n".join([*parts, "", END])


def _row(row: Signature) -> str:
    log = row.log.replace("{code}", "…") + (" close=1006" if row.bare else "")
    cells = (row.name, f"`{log}`", row.seen, row.cause, row.check, _recorded(row))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _recorded(row: Signature) -> str:
    sides = (("agent", row.agent), ("centre", row.centre))
    return "; ".join(f"{name} {_causes(matches)}" for name, matches in sides if matches)


def _causes(matches: tuple[Match, ...]) -> str:
    return ", ".join(dict.fromkeys(f"`{match.cause}`" for match in matches))


def rewritten(page: str) -> str:
    """Return the page with its section as the table says."""
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    if not re.search(pattern, page, re.DOTALL):
        raise ValueError(f"{PAGE.name} has no section between {BEGIN!r} and {END!r}")
    return re.sub(pattern, lambda _: section(), page, flags=re.DOTALL)


if __name__ == "__main__":
    before = PAGE.read_text("utf-8")
    after = rewritten(before)
    PAGE.write_text(after, "utf-8")
    print(f"{PAGE.name}: {'as it was' if after == before else 'rewritten'}")
    sys.exit(0)

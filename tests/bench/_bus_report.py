"""What `tests.bench.bus` prints, keeps and writes into docs/bench-bus.md.

A section is kept until it is measured again, so that a part can be repeated on a quiet machine.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/bench/out/bus.json"
INTRODUCTION = """\
# The bus, measured

What this is: the tables that `python -m tests.bench.bus --write-docs` measured last, part by
part. What it is
not: a promise about another machine, or about a real RS-485 transceiver: the wire is
`tests/bench/paced_server.c`, baud-true on a pty. How the figures come about is told in
`decisions/bus.md`.
"""


@dataclass(slots=True)
class Report:
    """What was measured: lines as printed, and the numbers."""

    lines: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def say(self, line: str = "") -> None:
        print(line, flush=True)
        self.lines.append(line)

    def row(self, *cells: object) -> None:
        self.say("| " + " | ".join(str(cell) for cell in cells) + " |")

    def head(self, *cells: object) -> None:
        self.row(*cells)
        self.row(*("---" for _ in cells))

    def judge(self, what: str, good: bool, figure: str, target: str) -> str:
        """Note a missed target; return the verdict."""
        if good:
            return "met"
        self.missed.append(f"{what}: {figure}, target {target}")
        return "**missed**"

    def conclude(self) -> None:
        """Say what was missed, or that nothing was."""
        self.say()
        self.say("Every target of this part is met." if not self.missed else "Missed:")
        for line in self.missed:
            self.say(f"- {line}")


def load() -> dict[str, dict[str, Any]]:
    """Return the sections measured before."""
    try:
        sections: dict[str, dict[str, Any]] = json.loads(OUT.read_text())["sections"]
    except (OSError, ValueError, KeyError):
        return {}
    return sections


def save(sections: dict[str, dict[str, Any]], order: list[str], write_docs: bool) -> None:
    """Keep the sections, and write the page if asked to."""
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"sections": sections}, indent=1))
    if not write_docs:
        return
    text = INTRODUCTION
    for name in order:
        if name in sections:
            text += f"\n## {sections[name]['title']}\n\n" + "\n".join(sections[name]["lines"])
            text = text.rstrip("\n") + "\n"
    (ROOT / "docs/bench-bus.md").write_text(text)

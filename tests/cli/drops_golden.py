"""The golden outputs of `gateway drops` for a report made by hand.

Owns what is compared in tests/golden/drops/; `python -m tests.cli.drops_golden` writes the files
anew: read them then.
"""

import sys
from pathlib import Path

from gateway.cli import drops_json, drops_list, drops_show
from gateway.cli.drops_meanings import Meaning
from gateway.correlation.signatures import signature_for
from tests.cli.drops_made import ZONE, looked, story

GOLDEN = Path(__file__).parents[1] / "golden/drops"


def meanings() -> tuple[Meaning, ...]:
    """Return what one error string means."""
    row = signature_for("timed_out", 1006, "centre")
    assert row is not None
    return (Meaning(row, 12),)


def listed(colour: bool = False) -> str:
    """Return the list of the made day."""
    return "\n".join(drops_list.lines(looked(), colour, ZONE)) + "\n"


def told(place: int, whole: bool = False) -> str:
    """Return one story of the made day."""
    one = looked().report.incidents[place]
    lines = drops_show.lines(one, story(one), meanings(), whole, False, ZONE)
    return "\n".join(lines) + "\n"


def outputs() -> dict[str, str]:
    """Return every golden output by the name of its file."""
    day = looked(deployed=2)
    one = day.report.incidents[2]
    shown = drops_json.incident(day, one, story(one), meanings())
    return {
        "list.txt": listed(),
        "show.txt": told(0),
        "list.json": "\n".join(drops_json.report(day)) + "\n",
        "show.json": drops_json.text(shown) + "\n",
    }


def main() -> int:
    """Write the files."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, text in outputs().items():
        (GOLDEN / name).write_text(text, "utf-8")
        print(GOLDEN / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Show (and with --accept write) what the broken config files are told now: see
tests/golden/config/README.md.
"""

import sys
from pathlib import Path

from gateway.config.agent import parse
from gateway.process.files import Profiles

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/config/agent"


def messages(path: Path) -> list[str]:
    """Return what a file of the table is told."""
    text = path.read_bytes().decode("utf-8")
    return [
        str(problem)
        for problem in parse(text, path.name, Profiles((ROOT / "config/profiles",))).problems
    ]


def main() -> int:
    """Compare every file with its expected messages."""
    differing = 0
    for path in sorted(GOLDEN.glob("*.toml")):
        expected, found = path.with_suffix(".expected"), messages(path)
        known = expected.read_text("utf-8").splitlines() if expected.exists() else []
        if found == known:
            continue
        differing += 1
        print(f"{path.name}")
        for line in known:
            print(f"  - {line}")
        for line in found:
            print(f"  + {line}")
        if "--accept" in sys.argv[1:]:
            expected.write_text("".join(f"{line}\n" for line in found), "utf-8")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())

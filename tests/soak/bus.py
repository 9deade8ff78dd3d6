"""The bus under 13 mixed faults, long: at least 14,400 polls with 3,500 faults, no wrong value.

The same run is part of `python -m tests.bench.bus`, which owns it.
"""

import sys

from tests.bench import bus


def main() -> int:
    """Run the soak; return 1 if a value was wrong or too many polls were lost."""
    return bus.main(["--only", "soak"])


if __name__ == "__main__":
    sys.exit(main())

"""Pins that what the code offers appears in the docs."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_readme_names_the_two_commands() -> None:
    """A newcomer finds both commands."""
    assert (ROOT / "README.md").read_text()

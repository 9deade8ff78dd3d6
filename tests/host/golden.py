"""The golden netlink messages by name."""

from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "golden/host"


def netlink_messages() -> dict[str, bytes]:
    """Read tests/golden/host/netlink.txt."""
    lines = (GOLDEN / "netlink.txt").read_text().splitlines()
    pairs = (line.split() for line in lines if line and not line.startswith("#"))
    return {name: bytes.fromhex(text) for name, text in pairs}

"""systemd's word whether the system is stopping, and what for."""

import pytest

from gateway.host.shutdown import stopping_for


@pytest.mark.parametrize(
    ("state", "jobs", "target"),
    [
        (b"running\n", b"", None),
        (b"degraded\n", b"1 reboot.target start waiting\n", None),
        (None, None, None),
        (b"stopping\n", b"", "reboot"),
        (
            b"stopping\n",
            b"271 poweroff.target start waiting\n9 x.service stop running\n",
            "poweroff",
        ),
        (b"stopping\n", b" 31 reboot.target   start waiting\n", "reboot"),
        (b"stopping\n", b"5 kexec.target start waiting\n", "kexec"),
        (b"stopping\n", b"5 halt.target start waiting\n", "halt"),
    ],
)
def test_stopping(state: bytes | None, jobs: bytes | None, target: str | None) -> None:
    """Only `stopping` counts; without a job it is taken for a reboot."""
    assert stopping_for(state, jobs) == target

"""What tells one machine from its clone."""

from pathlib import Path

from gateway.agent.identity import instance
from gateway.process.clock import HostFiles


def _write(root: Path, name: str, data: bytes) -> None:
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_the_serial_number_decides(tmp_path: Path) -> None:
    """Same serial, same instance; another serial, another; the machine-id does not count."""
    _write(tmp_path, "/proc/device-tree/serial-number", b"100000003d1f\0")
    first = instance(HostFiles(tmp_path))
    _write(tmp_path, "/etc/machine-id", b"0123")
    _write(tmp_path, "/sys/class/net/eth0/address", b"dc:a6:32:00:00:01\n")
    assert instance(HostFiles(tmp_path)) == first
    assert len(first) == 16
    _write(tmp_path, "/proc/device-tree/serial-number", b"100000003d20\0")
    assert instance(HostFiles(tmp_path)) != first


def test_adapters_where_there_is_no_serial(tmp_path: Path) -> None:
    """Only addresses burnt into hardware count; made-up ones change at every boot."""
    _write(tmp_path, "/sys/class/net/eth0/address", b"dc:a6:32:00:00:01\n")
    _write(tmp_path, "/sys/class/net/eth0/addr_assign_type", b"0\n")
    first = instance(HostFiles(tmp_path))
    _write(tmp_path, "/sys/class/net/veth7/address", b"0a:00:00:00:00:07\n")
    _write(tmp_path, "/sys/class/net/veth7/addr_assign_type", b"3\n")
    assert instance(HostFiles(tmp_path)) == first


def test_a_machine_without_evidence(tmp_path: Path) -> None:
    """Nothing to tell by is said, not invented."""
    assert instance(HostFiles(tmp_path)) == b""

"""The adapters' lasting names, below a root of the test's own."""

from pathlib import Path

from gateway.process.adapters import is_there, lasting_name, lasting_names
from gateway.process.clock import HostFiles


def test_names_that_last(tmp_path: Path) -> None:
    """by-id entries are listed, and found for the port they lead to."""
    files = HostFiles(tmp_path)
    assert lasting_names(files) == () and lasting_name("/dev/ttyUSB0", files) is None
    by_id = tmp_path / "dev/serial/by-id"
    by_id.mkdir(parents=True)
    (tmp_path / "dev/ttyUSB0").touch()
    (by_id / "usb-B").symlink_to("../../ttyUSB0")
    (by_id / "usb-A").symlink_to("../../ttyUSB1")
    assert lasting_names(files) == ("/dev/serial/by-id/usb-A", "/dev/serial/by-id/usb-B")
    assert lasting_name("/dev/ttyUSB0", files) == "/dev/serial/by-id/usb-B"
    assert is_there("/dev/serial/by-id/usb-B", files)
    assert not is_there("/dev/serial/by-id/usb-A", files)

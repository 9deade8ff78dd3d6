"""What is said of a file beyond its text: files, ports, sums; and any file gets a verdict."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.verdict import Verdict, judge
from gateway.errors import ConfigError
from gateway.process.clock import HostFiles
from gateway.process.files import Profiles

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/config/agent"
TECHNICIAN = (GOLDEN / "technician.toml").read_text()
PORT = "/dev/serial/by-id/usb-FTDI_FT232R_A50285BI-if00-port0"


def verdict(tmp_path: Path, text: str) -> Verdict:
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    return judge(file, Profiles((ROOT / "config/profiles",)), HostFiles(tmp_path), "g.toml")


def adapter(tmp_path: Path, name: str, device: str) -> None:
    by_id = tmp_path / "dev/serial/by-id"
    by_id.mkdir(parents=True, exist_ok=True)
    (tmp_path / "dev" / device).touch()
    (by_id / name).symlink_to(f"../../{device}")


def port_warnings(found: Verdict) -> list[str]:
    return [str(one) for one in found.warnings if one.key.endswith(".port")]


def test_port_that_is_not_here(tmp_path: Path) -> None:
    """The nearest adapter of this machine is the cure; else those that are here; else the plug."""
    (warning,) = port_warnings(verdict(tmp_path, TECHNICIAN))
    assert warning.startswith(f"g.toml:9:1: bus[rs485-1].port: {PORT} is not on this machine")
    assert "plug the adapter in" in warning
    near = "usb-FTDI_FT232R_A50285BJ-if00-port0"
    adapter(tmp_path, near, "ttyUSB0")
    (warning,) = port_warnings(verdict(tmp_path, TECHNICIAN))
    assert warning.endswith(f'did you mean "/dev/serial/by-id/{near}"?')


def test_port_that_is_here(tmp_path: Path) -> None:
    """No word where all is well; the lasting name where a numbered one is used."""
    adapter(tmp_path, PORT.rpartition("/")[2], "ttyUSB0")
    assert port_warnings(verdict(tmp_path, TECHNICIAN)) == []
    (warning,) = port_warnings(verdict(tmp_path, TECHNICIAN.replace(PORT, "/dev/ttyUSB0")))
    assert "can be another adapter after the next start" in warning
    assert warning.endswith(f'use "{PORT}", the same adapter')


def test_secrets_of_every_kind(tmp_path: Path) -> None:
    """Token and key are secrets with owner and mode; a certificate is only looked for."""
    text = TECHNICIAN.replace(
        "[[bus]]",
        'token_file = "token"\ncertificate_file = "cert.pem"\nkey_file = "key.pem"\n[[bus]]',
        1,
    )
    for name in ("token", "key.pem"):
        (tmp_path / name).write_text("do-not-show-me")
        (tmp_path / name).chmod(0o644)
    found = verdict(tmp_path, text)
    assert [(one.key, one.line > 0) for one in found.problems] == [
        ("uplink.token_file", True),
        ("uplink.key_file", True),
    ]
    assert all(one.cure.startswith("chmod 600") for one in found.problems)
    assert "do-not-show-me" not in str(found)
    assert any(one.key == "uplink.certificate_file" for one in found.warnings)
    for name in ("token", "key.pem"):
        (tmp_path / name).chmod(0o600)
    assert verdict(tmp_path, text).problems == ()


def test_more_points_than_can_be_announced(tmp_path: Path) -> None:
    """What no single key shows, and what would end the agent at its start."""
    meters = "".join(
        f'[[bus]]\nname = "b{bus}"\nport = "/dev/ttyS{bus}"\nbaud = 115200\n'
        + "".join(
            f'[[bus.device]]\nname = "meter-{bus}-{unit}"\nunit_id = {unit}\n'
            'profile = "eastron-sdm630"\npoll_interval_s = 60.0\n'
            for unit in range(1, 21)
        )
        for bus in range(4)
    )
    head = TECHNICIAN.partition("[[bus]]")[0]
    (problem,) = verdict(tmp_path, head + meters).problems
    assert problem.found == "3120 points are more than one gateway can announce"
    assert problem.line > 0 and "choose fewer points" in problem.cure


def test_points_that_nobody_knows_yet(tmp_path: Path) -> None:
    """What discovery will find is in no sum, and the summary says so beside the sums."""
    text = TECHNICIAN.replace('"eastron-sdm630"', '"sunspec"')
    told = verdict(tmp_path, text).summary
    assert "  main-meter every 1 s: points found by discovery (SunSpec) are not counted" in told
    assert told[-1].startswith(
        "not counted in load, uplink and spool: points found by discovery (main-meter); "
    )
    assert not any("discovery" in line for line in verdict(tmp_path, TECHNICIAN).summary)


def test_a_centre_s_file(tmp_path: Path) -> None:
    """Which kind of file it is, its tables tell."""
    text = (ROOT / "config/centre.example.toml").read_text()
    found = verdict(tmp_path, text)
    assert found.settings is not None and found.summary == ()


SOURCES = [path.read_bytes() for path in sorted(GOLDEN.glob("*.toml"))]
JUNK = [
    b"",
    b"=",
    b"[",
    b"]]",
    b'"',
    b"'''",
    b"\\",
    b"\n",
    b"{",
    b"1e999",
    b"9" * 400,
    b"\0",
    b"\xff",
]
JUNK += [b"\xc3\xa9", b"nan", b"[[bus]]\n", b"a.b = 1\n", b"\r\n", b"0.00001", b"\xef\xbb\xbf"]


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_file_gets_a_verdict(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Bytes cut, doubled and overwritten end in a verdict whose every message names line and
    cure, or in one line that says why the file cannot be read."""
    rng = random.Random(seed)
    data = rng.choice(SOURCES)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(data))
        to = min(len(data), at + rng.randint(0, 40))
        data = data[:at] + rng.choice([*JUNK, data[at:to] * 2]) + data[to:]
    file = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    file.write_bytes(data)
    try:
        found = judge(file, Profiles((ROOT / "config/profiles",)), HostFiles(), "f.toml")
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    assert (found.settings is None) == bool(found.problems)
    for one in (*found.problems, *found.warnings):
        assert str(one).startswith(f"f.toml:{one.line}:{one.column}:") and one.line > 0
        assert one.found and one.cure and "\n" not in str(one)

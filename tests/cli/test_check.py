"""`gateway check`: what is printed where, and the exit status."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.main import main

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/config/agent"


def check(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command in this process; return status, stdout, stderr."""
    status = main(["check", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize("name", ["five-errors", "bare-word"])
def test_five_planted_errors(name: str) -> None:
    """Five mistakes in a file are five messages with file, line, key and cure, and status 2."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", "check", f"{name}.toml"],
        cwd=GOLDEN,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stdout == ""
    expected = (GOLDEN / f"{name}.expected").read_text().splitlines()
    assert done.stderr.splitlines() == [*expected, f"{name}.toml: 5 problems; not usable"]


def test_technicians_example(capsys: pytest.CaptureFixture[str]) -> None:
    """A good file gives status 0 and what it asks of each bus, of the uplink and of the spool."""
    status, out, err = check(capsys, GOLDEN / "technician.toml")
    assert status == 0
    assert "bus rs485-1: devices 1, points 39, blocks 3, 39 readings/s in 3 requests/s" in out
    assert "main-meter every 1 s: 39 points in input 0–" in out
    assert "uplink: 40.1 readings/s with the gateway's own, " in out and " a day in messages" in out
    assert "spool: " in out and " without the centre" in out
    assert out.splitlines()[-1].endswith("no problems, 2 warnings")
    token, port = err.splitlines()
    assert token.startswith("warning: ") and ":4:2: uplink: neither token" in token
    assert ":9:1: bus[rs485-1].port:" in port and "not on this machine" in port


def test_examples_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    """The example files of both daemons pass, each checked as what it is."""
    for name in ("agent", "centre"):
        status, out, _ = check(capsys, ROOT / f"config/{name}.example.toml")
        assert status == 0 and "no problems" in out


def test_missing_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A file that is not there is one line and status 2."""
    status, out, err = check(capsys, tmp_path / "none.toml")
    assert (status, out) == (2, "") and len(err.splitlines()) == 1 and "no such file" in err


def test_profiles_of_another_directory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`--profiles` looks for the site's own profiles elsewhere; their problems are told."""
    config = tmp_path / "g.toml"
    text = (GOLDEN / "technician.toml").read_text()
    config.write_text(text.replace("eastron-sdm630", "own-thing"))
    (tmp_path / "own-thing.toml").write_text('vendor = "O"\nmodel = "T"\n')
    assert check(capsys, config)[0] == 2
    status, _, err = check(capsys, config, "--profiles", tmp_path)
    assert status == 2 and "own-thing.toml:1:1: point: missing" in err


def test_secret_open_to_others(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A token that anybody may read makes the config unusable, with the cure."""
    config = tmp_path / "g.toml"
    config.write_text((GOLDEN / "technician.toml").read_text())
    token = tmp_path / "token"
    token.write_text("x")
    token.chmod(0o644)
    status, _, err = check(capsys, config)
    assert status == 2 and "uplink.token_file" in err and "chmod 600" in err
    token.chmod(0o600)
    assert check(capsys, config)[0] == 0


@pytest.mark.parametrize(
    ("interval", "words"), [("0.07", "little is left"), ("0.04", "polls will be left out")]
)
def test_much_for_the_bus(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, interval: str, words: str
) -> None:
    """A bus that is busy for most of its time is warned of, with line, share and cure."""
    config = tmp_path / "g.toml"
    text = (GOLDEN / "technician.toml").read_text().replace("19200", "115200")
    config.write_text(text.replace("poll_interval_s = 1.0", f"poll_interval_s = {interval}"))
    status, out, err = check(capsys, config)
    assert status == 0 and words in err and "raise poll_interval_s" in err
    assert f"{config}:10:1: bus[rs485-1]: load " in err and "load " in out


def test_more_than_the_baud_rate_can_carry(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A bus that is asked for more than fits on its wire is refused, with line, share and cure."""
    config = tmp_path / "g.toml"
    text = (GOLDEN / "technician.toml").read_text().replace("19200", "1200")
    config.write_text(text)
    status, out, err = check(capsys, config)
    assert status == 2 and out == ""
    (problem,) = [line for line in err.splitlines() if not line.startswith("warning")][:-1]
    assert problem.startswith(f"{config}:10:1: bus[rs485-1]: needs ")
    assert "% of what 1200 baud 8E1 can carry; raise poll_interval_s" in problem


@pytest.mark.parametrize(
    ("parity", "stop_bits", "bits", "name"),
    [("none", 1, 10, "8N1"), ("even", 1, 11, "8E1"), ("odd", 1, 11, "8O1"), ("none", 2, 11, "8N2")],
)
def test_load_says_what_it_is_reckoned_with(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    parity: str,
    stop_bits: int,
    bits: int,
    name: str,
) -> None:
    """The share of the bus's time is that of the characters' real length, and the line says which
    that is and what turnaround is assumed."""
    points = "".join(
        f'[[bus.device.point]]\nname = "p{i}"\ntable = "input"\naddress = {i}\ntype = "u16"\n'
        for i in range(10)
    )
    config = tmp_path / "g.toml"
    config.write_text(
        '[gateway]\nid = "g"\n[uplink]\nurl = "wss://c.example.net/gateway"\n'
        '[[bus]]\nname = "b"\nport = "/dev/ttyS0"\nbaud = 9600\n'
        f'parity = "{parity}"\nstop_bits = {stop_bits}\n'
        '[[bus.device]]\nname = "d"\nunit_id = 1\npoll_interval_s = 0.5\n' + points
    )
    status, out, _ = check(capsys, config)
    # Request 8 characters, reply 5 and two for each register, silence 3.5, turnaround 10 ms.
    share = 2 * ((8 + 5 + 20 + 3.5) * bits / 9600 + 0.010)
    expected = (
        f"load {share - 0.020:.1%} of what 9600 baud {name} can carry, {share:.1%} if each answer "
        "begins within 10 ms"
    )
    assert status == 0 and expected in out


def test_certificates_that_are_not_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Certificate files named but not on this machine are warned of, each by its key."""
    config = tmp_path / "g.toml"
    text = (GOLDEN / "technician.toml").read_text()
    files = 'ca_file = "ca.pem"\ncertificate_file = "c.pem"\nkey_file = "k.pem"\n'
    config.write_text(text.replace("[uplink]\n", "[uplink]\n" + files))
    status, _, err = check(capsys, config)
    assert status == 0
    for key in ("ca_file", "certificate_file", "key_file"):
        assert f"uplink.{key}: {tmp_path}" in err


METER = """
[[bus]]
name = "b"
port = "/dev/x"
[[bus.device]]
name = "d"
unit_id = 1
poll_interval_s = {interval}
[[bus.device.point]]
name = "p"
table = "input"
address = 0
type = "u16"
"""
HEAD = '[gateway]\nid = "g"\nstate_directory = "{state}"\n[uplink]\nurl = "wss://c/g"\n'


def test_diff_with_what_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`--diff` compares with the file that the agent runs with, or with one that is named."""
    config, other = tmp_path / "g.toml", tmp_path / "old.toml"
    head = HEAD.format(state=tmp_path)
    config.write_text(head + METER.format(interval=2))
    other.write_text(head + METER.format(interval=1))
    status, out, err = check(capsys, config, "--diff")
    assert status == 2 and "has the agent started?" in err and "--diff RUNNING" in err
    for name in (tmp_path / "running.toml", other):
        name.write_bytes(other.read_bytes())
        named = [] if name != other else [other]
        status, out, _ = check(capsys, config, "--diff", *named)
        assert status == 0
        assert out.splitlines()[-3:] == [
            f"compared with {name}:",
            "  bus[b].device[d].point[p].poll_interval_s: 1 → 2",
            "  a reload: bus b restarts",
        ]
    other.write_text("[")
    assert check(capsys, config, "--diff", other)[0] == 2

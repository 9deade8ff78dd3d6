"""The mobile radio: ModemManager's answers, and an AT port where there is none."""

import json
import os
import threading
import tty
from pathlib import Path

from gateway.agent.modem import ModemReader
from gateway.host.radio import Level
from tests.agent.host_fakes import probes

PATH = "/org/freedesktop/ModemManager1/Modem/3"
LIST = ("mmcli", "-L", "-J")
GENERIC = {
    "state": "connected",
    "access-technologies": ["lte"],
    "signal-quality": {"value": "67", "recent": "yes"},
    "ports": ["cdc-wdm0 (qmi)", "wwan0 (net)"],
}


def manager(signal: dict[str, dict[str, str]]) -> dict[tuple[str, ...], bytes]:
    return {
        LIST: json.dumps({"modem-list": [PATH]}).encode(),
        ("mmcli", "-m", PATH, "-J"): json.dumps({"modem": {"generic": GENERIC}}).encode(),
        ("mmcli", "-m", PATH, "--signal-get", "-J"): json.dumps(
            {"modem": {"signal": signal}}
        ).encode(),
    }


def test_modem_manager(tmp_path: Path) -> None:
    """Level, quality in percent and the interface they belong to."""
    programs = manager({"lte": {"rsrp": "-95.00", "rsrq": "-11.00"}})
    found = ModemReader(probes(tmp_path, programs=programs), "auto").read()
    assert found == {"wwan0": Level("lte", None, -95.0, -11.0, None, 67)}


def test_a_percentage_alone_is_no_level(tmp_path: Path) -> None:
    """Nobody has called Signal.Setup: the percentage stays one."""
    found = ModemReader(probes(tmp_path, programs=manager({})), "auto").read()
    assert found == {"wwan0": Level("lte", quality_percent=67)}
    assert found["wwan0"].dbm is None


def test_without_anything(tmp_path: Path) -> None:
    """No ModemManager, no port, or told not to look."""
    assert ModemReader(probes(tmp_path), "auto").read() == {}
    assert ModemReader(probes(tmp_path, programs=manager({})), "none").read() == {}
    assert ModemReader(probes(tmp_path), "/dev/no-such-port").read() == {}


def test_an_at_port(tmp_path: Path) -> None:
    """AT+CESQ, then AT+CSQ where that is an error; never while ModemManager owns a modem."""
    master, port = os.openpty()
    tty.setraw(port)
    asked: list[bytes] = []
    answers = {b"AT+CESQ": b"\r\nERROR\r\n", b"AT+CSQ": b"\r\n+CSQ: 17,99\r\n\r\nOK\r\n"}

    def answer() -> None:
        heard = b""
        while len(asked) < 2:
            heard += os.read(master, 64)
            while b"\r" in heard:
                command, _, heard = heard.partition(b"\r")
                asked.append(command)
                os.write(master, answers[command])

    modem = threading.Thread(target=answer, daemon=True)
    modem.start()
    name = os.ttyname(port)
    found = ModemReader(probes(tmp_path), name).read()
    modem.join(5.0)
    assert asked == [b"AT+CESQ", b"AT+CSQ"]
    assert found == {"wwan0": Level("csq", rssi_dbm=-79.0)}
    owned = ModemReader(probes(tmp_path, programs=manager({})), name).read()
    assert owned["wwan0"].kind == "lte"
    os.close(port)
    os.close(master)

"""Radio levels: plausible ones only, and the tables of 3GPP TS 27.007."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.host import radio
from gateway.host.radio import Level

HEAD = (
    b"Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n"
    b" face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n"
)


@pytest.mark.parametrize(
    ("dbm", "level"),
    [(-30, -30.0), (-90, -90.0), (-10, -10.0), (-9, None), (0, None), (-110, None), (-127, None)],
)
def test_what_wifi_can_hear(dbm: int, level: float | None) -> None:
    """0, the driver's floor and what is louder than -10 dBm are no level."""
    assert radio.wifi_dbm(dbm) == level


def test_proc_net_wireless() -> None:
    """With and without the trailing point, and only plausible levels."""
    data = HEAD + (
        b" wlan0: 0000   54.  -56.  -256        0      0      0      0      0        0\n"
        b" wlan1: 0000   54   -61   -95         0      0      0      0      0        0\n"
        b" wlan2: 0000    0     0     0         0      0      0      0      0        0\n"
    )
    assert radio.wireless(data) == {"wlan0": -56.0, "wlan1": -61.0}
    assert radio.wireless(None) == {} and radio.wireless(HEAD) == {}


@pytest.mark.parametrize(
    ("reply", "dbm"),
    [
        *((b"\r\n+CSQ: 0,99\r\n\r\nOK\r\n", -113.0), (b"+CSQ: 31,0", -51.0)),
        *((b"+CSQ: 17,99", -79.0), (b"+CSQ: 99,99", None), (b"+CSQ: 32,99", None)),
        *((b"ERROR", None), (b"", None)),
    ],
)
def test_csq(reply: bytes, dbm: float | None) -> None:
    """-113 + 2n dBm; 99 is unknown."""
    level = radio.csq(reply)
    assert (None if level is None else level.dbm) == dbm


@pytest.mark.parametrize(
    ("reply", "level"),
    [
        (b"+CESQ: 99,99,255,255,20,45", Level("lte", rsrp_dbm=-95.0, rsrq_db=-9.5)),
        (b"+CESQ: 99,99,255,255,255,97", Level("lte", rsrp_dbm=-43.0)),
        (b"+CESQ: 99,99,255,255,0,0", Level("lte", rsrp_dbm=-140.0, rsrq_db=-19.5)),
        (b"+CESQ: 99,99,40,20,255,255", Level("umts", rssi_dbm=-80.0, snr_db=-14.0)),
        (b"+CESQ: 30,0,255,255,255,255", Level("gsm", rssi_dbm=-80.0)),
        (b"+CESQ: 99,99,255,255,255,255", None),
        (b"+CESQ: 1,2,3", None),
    ],
)
def test_cesq(reply: bytes, level: Level | None) -> None:
    """rsrp = n-140, rsrq = n/2-19.5, rscp = n-120, rxlev = n-110; 99 and 255 are unknown."""
    assert radio.cesq(reply) == level


def test_modem_manager() -> None:
    """The modem's list, state, interface and percentage; dBm only from Modem.Signal."""
    path = "/org/freedesktop/ModemManager1/Modem/0"
    assert radio.modem_paths(json.dumps({"modem-list": [path, 7, "/x y"]}).encode()) == (path,)
    generic = {
        "state": "connected",
        "access-technologies": ["lte"],
        "signal-quality": {"recent": "yes", "value": "67"},
        "ports": ["cdc-wdm0 (qmi)", "wwan0 (net)"],
    }
    modem = radio.modem(path, json.dumps({"modem": {"generic": generic}}).encode())
    assert modem == radio.Modem(path, "connected", "lte", "wwan0", 67)
    signal = {"5g": {"rsrp": "--"}, "lte": {"rsrp": "-95.00", "rsrq": "-11.00", "snr": "10.20"}}
    signal["lte"]["rssi"] = "-67.00"
    found = radio.modem_signal(json.dumps({"modem": {"signal": signal}}).encode())
    assert found == Level("lte", -67.0, -95.0, -11.0, 10.2)
    assert found is not None and found.dbm == -95.0


def test_modem_manager_without_signal_setup() -> None:
    """Nobody has called Signal.Setup: there is no level, and no percentage becomes one."""
    unset = {"modem": {"signal": {"lte": {"rssi": "--", "rsrp": "--"}, "refresh": {"rate": "0"}}}}
    assert radio.modem_signal(json.dumps(unset).encode()) is None


def test_dbus_properties() -> None:
    """The same table takes D-Bus doubles under the interface's own names."""
    assert radio.signal_of({"Nr5g": {"rsrp": -88.0}}) == Level("nr5g", rsrp_dbm=-88.0)
    assert radio.signal_of({"Lte": {"rsrp": -300.0}}) is None


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_garbage(data: bytes) -> None:
    """Nothing a modem or a file says raises, and every level is one."""
    radio.modem_paths(data)
    radio.modem("/m", data)
    for level in (radio.csq(data), radio.cesq(data), radio.modem_signal(data)):
        assert level is None or level.dbm is None or -160 <= level.dbm < 0
    assert all(-110 < dbm <= -10 for dbm in radio.wireless(data).values())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["modem", "signal", "generic", "lte", "rsrp", "ports", "modem-list"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(values)
def test_json_of_any_shape(value: object) -> None:
    """A ModemManager of another version raises nothing."""
    data = json.dumps(value).encode()
    radio.modem_paths(data)
    radio.modem("/m", data)
    radio.modem_signal(data)

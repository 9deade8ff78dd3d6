"""The processor's temperature: which of the sensors it is."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.host.processor import celsius, temperature_path

ZONE, HW = "/sys/class/thermal/thermal_zone", "/sys/class/hwmon/hwmon"


def test_which_sensor() -> None:
    """A zone named for the processor, else its hwmon chip; never the board's or a disk's."""
    zones = {f"{ZONE}0/type": b"acpitz\n", f"{ZONE}1/type": b"x86_pkg_temp\n"}
    assert temperature_path(zones) == f"{ZONE}1/temp"
    assert temperature_path({f"{ZONE}0/type": b"cpu-thermal\n"}) == f"{ZONE}0/temp"
    chips = {
        f"{HW}0/name": b"nvme",
        f"{HW}0/temp1_input": b"1",
        f"{HW}1/name": b"k10temp",
        f"{HW}1/temp1_input": b"50625",
    }
    assert temperature_path(chips) == f"{HW}1/temp1_input"
    assert temperature_path({f"{ZONE}0/type": b"acpitz"}) is None


def test_degrees() -> None:
    """Thousandths; a broken sensor's -273 °C is none."""
    assert celsius(b"48199\n") == 48.199
    assert celsius(b"-273150") is None and celsius(b"") is None and celsius(None) is None


@given(st.binary(max_size=40))
def test_garbage(data: bytes) -> None:
    """Any bytes are a temperature or none."""
    found = celsius(data)
    assert found is None or -60.0 <= found <= 150.0
    temperature_path({f"{ZONE}0/type": data, f"{HW}0/name": data})

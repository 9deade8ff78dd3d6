"""Where the supply is read: the order, what is never taken, and what must be configured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.host.supply import (
    PMIC_PATH,
    SupplyKind,
    SupplySource,
    Wanted,
    choose,
    plausible,
)

HW, PS = "/sys/class/hwmon/hwmon", "/sys/class/power_supply/"
IIO = "/sys/bus/iio/devices/iio:device0/"
INA = {f"{HW}3/name": b"ina226\n", f"{HW}3/in0_input": b"12\n", f"{HW}3/in1_input": b"24108\n"}
BATTERY = {f"{PS}BAT0/type": b"Battery\n", f"{PS}BAT0/voltage_now": b"12312000\n"}
PMIC = {PMIC_PATH: b"EXT5V_V volt(24)=5.11746000V"}
ADC = {
    f"{IIO}name": b"ads1015\n",
    f"{IIO}in_voltage0_raw": b"800\n",
    f"{IIO}in_voltage_scale": b"3.0\n",
}


AUTO = Wanted()


def names(files: dict[str, bytes], wanted: Wanted = AUTO) -> tuple[str, float | None]:
    choice = choose(files, wanted)
    if choice.source is None:
        return "none", None
    return choice.source.name, choice.source.volts(files.get(choice.source.path))


def test_the_order() -> None:
    """A current monitor on the feed comes before the PMIC, that before a battery, then an ADC."""
    ratio = Wanted(ratio=5.0)
    everything = {**INA, **PMIC, **BATTERY, **ADC}
    assert names(everything, ratio) == ("ina226/in1", pytest.approx(24.108))
    assert names({**PMIC, **BATTERY, **ADC}, ratio) == ("ext5v", 5.11746)
    assert names({**BATTERY, **ADC}, ratio) == ("BAT0", pytest.approx(12.312))
    assert names(ADC, ratio) == ("ads1015/voltage0", pytest.approx(12.0))
    assert names(ADC) == ("none", None)
    assert names({}) == ("none", None)


def test_an_implausible_first_gives_way() -> None:
    """A monitor that reads nothing sensible (its rail is off) is passed over and said so."""
    files = {**INA, f"{HW}3/in1_input": b"4\n", **BATTERY}
    choice = choose(files, Wanted())
    assert choice.source is not None and choice.source.name == "BAT0"
    assert "ina226/in1: reads 0.004 V, not 3 to 60 V" in choice.rejected


@pytest.mark.parametrize(
    ("chip", "label", "taken"),
    [
        *(("ltc2945", "vin", True), ("adm1275", "vin1", True), ("tps53679", "vin", True)),
        *(("ltc2977", "vout1", False), ("adm1275", "", False), ("ltc2990", "12v feed", True)),
        *(("tps546d24", "vdd_core_input", False), ("rpi_volt", "input", False)),
        *(("nct6775", "12v", False), ("it8721", "in", False), ("nvme", "vin", False)),
        *(("cpu_thermal", "vin", False), ("lm25066", "vin", False)),
    ],
)
def test_chips_and_labels(chip: str, label: str, taken: bool) -> None:
    """Only chips known to measure a feed, and of these only inputs labelled so."""
    files = {
        f"{HW}0/name": chip.encode(),
        f"{HW}0/in1_input": b"12000",
        f"{HW}0/in1_label": label.encode(),
    }
    choice = choose(files, Wanted())
    assert (choice.source is not None) is taken
    assert taken or choice.rejected


def test_the_core_is_not_the_supply() -> None:
    """`rpi_volt` of kernel 7.2 lists the core's 0.85 V first; it is never taken."""
    files = {
        f"{HW}1/name": b"rpi_volt",
        f"{HW}1/in0_input": b"5000",
        f"{HW}1/in0_label": b"core",
        f"{HW}1/in0_lcrit_alarm": b"0",
    }
    assert choose(files, Wanted()).source is None


def test_what_the_config_names() -> None:
    """A named source is taken as it is, with its divider; one that is not there is said so."""
    pins = {f"{HW}2/name": b"nct6775", f"{HW}2/in3_input": b"1090"}
    assert names(pins, Wanted("hwmon:nct6775/in3", 11.0)) == ("nct6775/in3", pytest.approx(11.99))
    assert names(ADC, Wanted("iio:ads1015/voltage0", 10.0)) == (
        "ads1015/voltage0",
        pytest.approx(24.0),
    )
    assert names(BATTERY, Wanted("power_supply:BAT0"))[0] == "BAT0"
    assert names(INA, Wanted("none")) == ("none", None)
    missing = choose(INA, Wanted("hwmon:ina226/in9"))
    assert missing.source is None
    assert missing.rejected == ("hwmon:ina226/in9: not found on this machine",)
    point = choose({}, Wanted("dc-meter.voltage")).source
    assert point is not None and (point.kind, point.name) == (SupplyKind.POINT, "dc-meter.voltage")
    assert choose({}, Wanted("pmic")).source == SupplySource(SupplyKind.PMIC, "ext5v", PMIC_PATH)


def test_iio_has_its_own_or_a_shared_scale_and_an_offset() -> None:
    """(raw + offset) × scale in mV; a channel's own scale stands before the shared one."""
    files = {**ADC, f"{IIO}in_voltage0_scale": b"0.5", f"{IIO}in_voltage0_offset": b"-100"}
    wanted = Wanted("iio:ads1015/voltage0", 20.0)
    assert names(files, wanted) == ("ads1015/voltage0", pytest.approx(7.0))


def test_plausible_is_what_a_gateway_can_live_on() -> None:
    """3 to 60 V."""
    assert [plausible(v) for v in (None, 0.0, 2.99, 3.0, 60.0, 60.1)] == [
        *(False, False, False, True, True, False)
    ]


PATHS = [*INA, *BATTERY, *PMIC, *ADC, f"{HW}3/in1_label", f"{PS}BAT0/scope", f"{HW}99999/name"]


@given(
    st.dictionaries(st.sampled_from(PATHS) | st.text(max_size=40), st.binary(max_size=64)),
    st.sampled_from(["auto", "none", "pmic", "hwmon:ina226/in1", "iio:ads1015/voltage0", "a.b"]),
    st.none() | st.floats(0.001, 1000.0),
)
def test_garbage_never_becomes_a_supply(
    files: dict[str, bytes], source: str, ratio: float | None
) -> None:
    """No exception escapes, and what is taken by itself reads a plausible voltage."""
    choice = choose(files, Wanted(source, ratio))
    if choice.source is not None and source == "auto":
        assert plausible(choice.source.volts(files[choice.source.path]))
    assert len(choice.rejected) <= 32

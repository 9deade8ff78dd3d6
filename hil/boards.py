"""The gateways' hardware as `/proc` and `/sys` show it: what a healthy board's files hold.

Owns the trees of the three boards of the bench and the raw traces that each kind of reset leaves on
them; never judges any of it. A Raspberry Pi 4 can only say "below about 4.63 V" (and here has an
INA219 on its 5 V rail besides), a Pi 5 measures its supply itself, an industrial PC has an INA226
on its 24 V feed, a disk that counts power cycles and a watchdog that says so.

Source: Linux Documentation/hwmon/{raspberrypi-hwmon,ina2xx}.rst, ABI/testing/sysfs-class-{net,
watchdog}; raspberrypi/documentation device-tree.adoc (chosen/{bootloader,power}); smartctl -j.
"""

import json
import struct
from dataclasses import dataclass
from enum import StrEnum

UNDER_V = 4.63
"""Where the Raspberry Pi's comparator trips (raspberrypi/documentation power-supplies.adoc)."""
ROUTE_HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
EEPROM_2026 = 1_788_220_800
"""2026-09-01: a bootloader whose reset registers can be believed."""


class Reset(StrEnum):
    """How the machine came to this boot, as its registers saw it."""

    POWER_ON = "power_on"
    WARM = "warm"
    """`reboot`, `reboot -f`, a panic's reboot: power stayed on."""
    WATCHDOG = "watchdog"


class Board(StrEnum):
    """The kinds of gateway on the bench."""

    PI_4 = "pi-4"
    PI_5 = "pi-5"
    PC = "pc"


@dataclass(frozen=True, slots=True)
class Traits:
    """What a board has. `warn_v`, `crit_v`: the limits its config gives; ``None``: the defaults."""

    model: str
    interface: str
    wifi: bool
    volts: float
    warn_v: float | None
    crit_v: float | None
    tells_watchdog: bool


TRAITS = {
    Board.PI_4: Traits("Raspberry Pi 4 Model B Rev 1.4", "wlan0", True, 5.08, 4.8, 4.7, False),
    Board.PI_5: Traits("Raspberry Pi 5 Model B Rev 1.0", "wlan0", True, 5.11, None, None, True),
    Board.PC: Traits("", "enp1s0", False, 24.1, 21.6, 20.0, True),
}


def cell(value: int) -> bytes:
    """Return a devicetree property of one cell."""
    return struct.pack(">I", value)


def tree(board: Board, serial: str) -> dict[str, bytes]:
    """Return the files of a healthy board but its supply, links and boot evidence."""
    found = {"/sys/class/net/lo/uevent": b"INTERFACE=lo\nIFINDEX=1\n"}
    found["/proc/net/wireless"] = b"Inter-| sta-|   Quality\n face | tus | link level noise\n"
    if board is Board.PC:
        found["/sys/class/dmi/id/product_uuid"] = f"{serial}\n".encode()
        found["/sys/class/hwmon/hwmon0/name"] = b"coretemp\n"
        found["/sys/class/hwmon/hwmon0/temp1_input"] = b"41000\n"
        found["/sys/class/hwmon/hwmon1/name"] = b"ina226\n"
        found["/sys/class/hwmon/hwmon1/in0_input"] = b"12\n"
        found["/sys/class/thermal/thermal_zone0/type"] = b"x86_pkg_temp\n"
    else:
        traits = TRAITS[board]
        found["/proc/device-tree/model"] = traits.model.encode() + b"\0"
        found["/proc/device-tree/serial-number"] = serial.encode() + b"\0"
        found["/proc/device-tree/chosen/bootloader/build_timestamp"] = cell(EEPROM_2026)
        found["/sys/class/hwmon/hwmon0/name"] = b"cpu_thermal\n"
        found["/sys/class/hwmon/hwmon0/temp1_input"] = b"48199\n"
        found["/sys/class/hwmon/hwmon1/name"] = b"rpi_volt\n"
        # Kernel 7.2: the core's and the memory's volts, none of them the supply.
        found["/sys/class/hwmon/hwmon1/in0_input"] = b"850\n"
        found["/sys/class/hwmon/hwmon1/in0_label"] = b"core\n"
        found["/sys/class/thermal/thermal_zone0/type"] = b"cpu-thermal\n"
    if board is Board.PI_4:
        found["/sys/class/hwmon/hwmon2/name"] = b"ina219\n"
        found["/sys/class/hwmon/hwmon2/in0_input"] = b"8\n"
    if board is Board.PI_5:
        found["/proc/device-tree/chosen/power/max_current"] = cell(5000)
    found["/sys/class/thermal/thermal_zone0/temp"] = b"48199\n"
    return found


def supply(board: Board, volts: float) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files and the firmware's replies that show the supply at `volts`."""
    millivolts = f"{round(volts * 1000)}\n".encode()
    under = volts < UNDER_V
    if board is Board.PC:
        return {"/sys/class/hwmon/hwmon1/in1_input": millivolts}, {}
    files = {"/sys/class/hwmon/hwmon1/in0_lcrit_alarm": b"1\n" if under else b"0\n"}
    replies = {"get_throttled": "throttled=0x50005" if under else "throttled=0x0"}
    if board is Board.PI_4:
        files["/sys/class/hwmon/hwmon2/in1_input"] = millivolts
    else:
        replies["pmic_read_adc EXT5V_V"] = f"     EXT5V_V volt(24)={volts:.8f}V"
    return files, replies


def link(board: Board, carrier: bool, downs: int) -> dict[str, bytes]:
    """Return the files of the board's one uplink interface, and its default route."""
    traits = TRAITS[board]
    name, base = traits.interface, f"/sys/class/net/{traits.interface}"
    kind = "DEVTYPE=wlan\n" if traits.wifi else ""
    down = b"dormant\n" if traits.wifi else b"down\n"
    found = {
        f"{base}/uevent": f"{kind}INTERFACE={name}\nIFINDEX=3\n".encode(),
        f"{base}/operstate": b"up\n" if carrier else down,
        f"{base}/carrier": b"1\n" if carrier else b"0\n",
        f"{base}/carrier_up_count": f"{downs + carrier}\n".encode(),
        f"{base}/carrier_down_count": f"{downs}\n".encode(),
        f"{base}/device/uevent": b"DRIVER=bench\n",
        "/proc/net/route": route(name if carrier else "").encode(),
    }
    for counter in ("rx_crc_errors", "rx_errors", "tx_errors", "rx_dropped"):
        found[f"{base}/statistics/{counter}"] = b"0\n"
    if not traits.wifi and carrier:
        found[f"{base}/speed"] = b"1000\n"
        found[f"{base}/duplex"] = b"full\n"
    return found


def route(interface: str) -> str:
    """Return /proc/net/route with a default route over `interface`; none if it is empty."""
    line = f"{interface}\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
    return ROUTE_HEAD + (line if interface else "")


def reset_evidence(
    board: Board, reset: Reset, clean: bool, cycles: int, sagged: bool = False
) -> dict[str, bytes]:
    """Return what the board shows of the reset before this boot.

    `clean`: the file systems were unmounted; `cycles`: how often power came on so far; `sagged`:
    the supply was too low for the board just before.
    """
    log = "EXT4-fs (mmcblk0p2): mounted filesystem with ordered data mode. Quota mode: none.\n"
    if not clean:
        log = "EXT4-fs (mmcblk0p2): orphan cleanup on readonly fs\n"
        log += "EXT4-fs (mmcblk0p2): recovery complete\n"
        log += "EXT4-fs (mmcblk0p2): mounted filesystem with ordered data mode. Quota mode: none.\n"
    found = {"/run/gateway-evidence/kernel.log": log.encode()}
    bitten = reset is Reset.WATCHDOG
    if board is Board.PC:
        found["/sys/class/watchdog/watchdog0/bootstatus"] = b"32\n" if bitten else b"0\n"
        health = {"power_cycles": cycles, "unsafe_shutdowns": cycles - 1}
        report = {"device": {"name": "/dev/nvme0"}, "nvme_smart_health_information_log": health}
        found["/run/gateway-evidence/disk-nvme0.json"] = json.dumps(report).encode()
        return found
    # bcm2835_wdt never sets it, and its engine does every warm reset of a Pi.
    found["/sys/class/watchdog/watchdog0/bootstatus"] = b"0\n"
    rsts = 0x1000 if reset is Reset.POWER_ON else 0x20
    found["/proc/device-tree/chosen/bootloader/rsts"] = cell(rsts)
    if board is Board.PI_5:
        bits = (1 << 4 if bitten else 0) | (1 << 1 if sagged else 0)
        found["/proc/device-tree/chosen/power/power_reset"] = cell(bits)
    return found

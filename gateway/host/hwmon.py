"""The kernel's hwmon devices in the evidence: chips, and their voltage inputs.

Owns the finding of them; what an input measures is `supply`'s and `alarm`'s business.

Source: Linux Documentation/hwmon/sysfs-interface.rst.
"""

import re

from gateway.host.sysfs import Evidence, word

_HWMON = re.compile(r"(/sys/class/hwmon/hwmon\d{1,4})/name")
_INPUT = re.compile(r"in(\d{1,2})_input")


def chips(evidence: Evidence) -> list[tuple[str, str]]:
    """Return (path, chip name) of every hwmon device, in the kernel's order."""
    found = [(m[1], word(evidence[path])) for path in evidence if (m := _HWMON.fullmatch(path))]
    return sorted(found, key=lambda item: (len(item[0]), item[0]))


def inputs(evidence: Evidence, path: str) -> list[tuple[int, str]]:
    """Return (number, label) of a chip's voltage inputs."""
    start = f"{path}/"
    numbers = sorted(
        int(m[1])
        for name in evidence
        if name.startswith(start) and (m := _INPUT.fullmatch(name[len(start) :]))
    )
    return [(n, word(evidence.get(f"{path}/in{n}_label"))) for n in numbers]

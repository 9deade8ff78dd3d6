"""How the host's readings are told: the journal's one line, and the fields of its events.

Owns their form; decides nothing.
"""

from gateway.event import Scalar
from gateway.host.reboot import Verdict
from gateway.host.sample import Sample
from gateway.host.supply import SupplyChoice
from gateway.reading import Schema, Value

MAX_TEXT = 500


def line_of(sample: Sample, why: str) -> str:
    """Return a look as the journal's one line."""
    volts = "unknown" if sample.volts is None else f"{sample.volts:.3f}"
    radios = [link for link in sample.links if link.level is not None]
    heard = [link.level.dbm for link in radios if link.level is not None]
    dbm = next((level for level in heard if level is not None), None)
    words = [
        f"change={why}",
        f"supply_v={volts}",
        f"undervoltage={sample.undervoltage}",
        f"rssi_dbm={'unknown' if dbm is None else f'{dbm:.0f}'}",
        f"route={sample.route or 'none'}",
    ]
    for link in sample.links:
        carrier = {True: "1", False: "0", None: "unknown"}[link.state.carrier]
        words.append(f"{link.name}.carrier={carrier}")
    if sample.celsius is not None:
        words.append(f"cpu_c={sample.celsius:.0f}")
    return " ".join(words)


def verdict_fields(verdict: Verdict) -> dict[str, Scalar]:
    """Return the fields of the events that tell why this start happened."""
    return {
        "class": verdict.reboot.value,
        "confidence": verdict.confidence.value,
        "rule": verdict.rule,
        "evidence": "; ".join(verdict.evidence)[:MAX_TEXT],
    }


def number(value: Value) -> float | None:
    """Return a reading's value as volts, if it is a number."""
    return float(value) if isinstance(value, int | float) else None


def places(schema: Schema, name: str) -> dict[int, int]:
    """Return where ``device.point`` stands: the index in the values, by block."""
    found = {}
    for number, block in enumerate(schema.blocks):
        for index, point in enumerate(block.points):
            if f"{block.source}.{point.name}" == name:
                found[number] = index
    return found


def choice_fields(choice: SupplyChoice) -> dict[str, Scalar]:
    """Return the fields of the event that tells which sources are in use, and why not others."""
    source, alarm = choice.source, choice.alarm
    return {
        "supply": "none" if source is None else f"{source.kind}:{source.name}",
        "alarm": "none" if alarm is None else alarm.kind.value,
        "note": choice.alarm_note,
        "rejected": "; ".join(choice.rejected)[:MAX_TEXT],
    }

"""The host's adapter is pulled out: the gateway kept what happened and told it when it was back."""

from gateway.correlation.verdict import Cause
from hil.bench import Bench
from hil.boards import Board
from hil.found import box_of, one_incident
from hil.injectors.link import AdapterUnplugged


def run(bench: Bench) -> None:
    """Pull it out, put it back."""
    box = box_of(bench, *Board)
    gateway, interface = box.member.gateway, box.machine.traits.interface
    found = one_incident(bench, AdapterUnplugged(box))
    assert found.incident.cause is Cause.LINK_LOST
    gone = found.fields(gateway, "carrier_lost")
    assert gone == {"interface": interface, "operstate": "gone"}, gone
    moved = found.events(gateway, "route_changed")
    assert [dict(event.fields)["to"] for event in moved] == ["", interface], moved
    assert moved[0].received_ns > moved[0].source_time_ns, "told before it happened"
    lost, following = found.sessions(gateway)
    assert lost.boot_id == following.boot_id, "the gateway is said to have rebooted"
    found.says(gateway, interface)

"""Wi-Fi fades away: the falling level is stored at full resolution, the radio is named."""

from gateway.correlation.verdict import Cause
from hil.bench import Bench
from hil.boards import Board
from hil.found import box_of, one_incident
from hil.injectors.link import WifiFades


def run(bench: Bench) -> None:
    """Fade, disassociate, lose the link."""
    box = box_of(bench, Board.PI_4, Board.PI_5)
    gateway = box.member.gateway
    found = one_incident(bench, WifiFades(box))
    assert found.incident.cause is Cause.RADIO
    lost, following = found.sessions(gateway)
    assert lost.boot_id == following.boot_id, "the gateway is said to have rebooted"
    looks = found.looks(gateway, lost.boot_id)
    levels = [look.dbm for look in looks if look.dbm is not None]
    assert min(levels) <= -88, f"the fading was not stored: at least {min(levels):.0f} dBm"
    falling = [level for level in levels if -92 < level < -62]
    assert len(falling) >= 5, f"only {len(falling)} levels on the way down"
    assert found.fields(gateway, "radio_lost")["reason"] == 4
    assert found.events(gateway, "radio_returned"), "that it hears again was not stored"
    found.says(gateway, "dBm")

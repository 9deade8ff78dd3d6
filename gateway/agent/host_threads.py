"""The threads that look at the host: once a second, at edges, at the modem, at a UPS.

Owns which there are and what each hands over; each may hang without holding up another. What is
seen goes to the event loop through `hand_over`, never otherwise.
"""

from collections.abc import Callable, Sequence

from gateway.agent.edges import Edges
from gateway.agent.modem import PERIOD_S as MODEM_PERIOD_S
from gateway.agent.modem import ModemReader
from gateway.agent.probes import Probes
from gateway.agent.sampler import Sampler
from gateway.agent.ticker import Ticker
from gateway.config.host import HostSettings
from gateway.host.alarm import AlarmKind
from gateway.host.nl80211 import Disconnected
from gateway.host.nut import UpsName, ups_name
from gateway.host.sample import Sample
from gateway.host.supply import SupplyChoice
from gateway.process.clock import Clock

LOOK_S = 1.0

HandOver = Callable[..., None]
Take = Callable[[Sample, Sequence[tuple[str, Disconnected]]], None]
HostThread = Ticker | Edges


def host_threads(
    settings: HostSettings,
    sampler: Sampler,
    probes: Probes,
    clock: Clock,
    hand_over: HandOver,
    take: Take,
    chosen: Callable[[SupplyChoice], None],
    ups_said: Callable[[str], None],
) -> list[HostThread]:
    """Return the threads that these settings ask for, not started yet.

    `take`, `chosen` and `ups_said` are called in the loop, through `hand_over`.
    """

    def look() -> None:
        sample = sampler.sample()
        hand_over(take, sample, sampler.disconnections())

    looks = Ticker("host.look", LOOK_S, look, clock)
    edges = Edges(probes, clock, sampler.alarm_rang, looks.nudge)

    def on_choice(choice: SupplyChoice) -> None:
        alarm = choice.alarm
        edges.watch(alarm.path if alarm is not None and alarm.kind is AlarmKind.HWMON else "")
        hand_over(chosen, choice)

    sampler.on_choice = on_choice
    threads: list[HostThread] = [looks, edges]
    name = ups_name(settings.supply)
    if name is not None:
        threads.append(_ups(name, sampler, clock, hand_over, ups_said))
    if settings.modem != "none":
        modem = ModemReader(probes, settings.modem)
        threads.append(
            Ticker("host.modem", MODEM_PERIOD_S, lambda: sampler.mobile(modem.read()), clock)
        )
    return threads


def _ups(
    name: UpsName,
    sampler: Sampler,
    clock: Clock,
    hand_over: HandOver,
    ups_said: Callable[[str], None],
) -> Ticker:
    from gateway.agent.ups import PERIOD_S, UpsReader  # only a gateway with a UPS pays for it

    reader = UpsReader(name)

    def ask() -> None:
        found = reader.read()
        sampler.ups(found)
        hand_over(ups_said, found.fault)

    return Ticker("host.ups", PERIOD_S, ask, clock, reader.close)

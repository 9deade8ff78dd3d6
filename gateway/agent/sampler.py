"""One look at the host a second: reads what the detection chose, in a thread of its own.

Owns which sources are in use and when they are looked for again; what they mean is in
`gateway.host`. Never touches the event loop: a sensor behind a hung bus holds up only this thread.
"""

import threading
from collections.abc import Callable, Mapping

from gateway.agent import host_evidence
from gateway.agent.probes import Probes
from gateway.agent.wifi import Wifi
from gateway.config.host import HostSettings
from gateway.host import firmware, link
from gateway.host.alarm import AlarmKind, UnderVoltage, alarm_state, combine
from gateway.host.link import LinkKind, LinkState
from gateway.host.nl80211 import Disconnected
from gateway.host.nut import UpsReading
from gateway.host.processor import THROTTLE_PATH, celsius, temperature_path
from gateway.host.radio import Level
from gateway.host.sample import LinkSample, Sample
from gateway.host.supply import PI_CRIT_V, PI_WARN_V, SupplyChoice, SupplyKind, Wanted, choose
from gateway.host.supply import plausible as is_plausible
from gateway.host.sysfs import integer
from gateway.process.clock import Clock

DETECT_S = 60.0
"""How often the sources are looked for again while none is found or one has gone silent."""
THROTTLED_EVERY = 10
"""Looks between two questions for the firmware's word where it is not the alarm itself."""
JUMP = 0.5
"""A change of more than half from one look to the next is a suspect number."""

Point = tuple[float, float]
"""Volts of the Modbus point that is the supply, and `now` when they were read."""
POINT_STALE_S = 30.0
UPS_STALE_S = 15.0
"""As upsd itself believes a driver that says nothing (its MAXAGE)."""


class Sampler:
    """`sample` is called once a second from one thread; `choice` may be read from any."""

    def __init__(self, settings: HostSettings, probes: Probes, clock: Clock) -> None:
        self._settings = settings
        self._probes = probes
        self._files = probes.files
        self._clock = clock
        self._wifi = Wifi(probes.netlink, probes.files)
        self._wanted = Wanted(settings.supply, settings.supply_ratio)
        self._temperature: str | None = None
        self._detected_at: float | None = None
        self._looks = 0
        self._throttled: bool | None = None
        self._throttle_count: int | None = None
        self._volts: float | None = None
        self._known: dict[str, LinkKind] = {}
        self.choice = SupplyChoice(None, None, ())
        self.on_choice: Callable[[SupplyChoice], None] = lambda choice: None
        self._lock = threading.Lock()
        self._point: Point | None = None
        self._mobile: tuple[Mapping[str, Level], float] = ({}, 0.0)
        self._ups: tuple[UpsReading, float] | None = None
        self._alarm_rang = False
        self._alarm_lost = False

    @property
    def limits_v(self) -> tuple[float | None, float | None]:
        """Return the warning and the critical limit of the source in use."""
        source = self.choice.source
        pmic = source is not None and source.kind is SupplyKind.PMIC
        warn_v, crit_v = self._settings.supply_warn_v, self._settings.supply_crit_v
        if warn_v is None and crit_v is None and pmic:
            return PI_WARN_V, PI_CRIT_V
        return warn_v, crit_v

    # -- what others bring ---------------------------------------------------------------------

    def point(self, volts: float | None) -> None:
        """Take the volts of the Modbus point that is the supply."""
        with self._lock:
            self._point = None if volts is None else (volts, self._clock.now())

    def ups(self, reading: UpsReading) -> None:
        """Take what the UPS that is the supply says."""
        with self._lock:
            self._ups = (reading, self._clock.now())

    def alarm_rang(self) -> None:
        """Take the kernel's word that the under-voltage alarm was set: the next look has it, even
        when it is over by then."""
        with self._lock:
            self._alarm_rang = True

    def mobile(self, levels: Mapping[str, Level]) -> None:
        """Take what the modems hear."""
        with self._lock:
            self._mobile = (levels, self._clock.now())

    # -- one look ------------------------------------------------------------------------------

    def detect(self) -> None:
        """Look for the sources; tell when the choice is another than before."""
        found = host_evidence.sources(self._probes)
        self._temperature = temperature_path(found)
        self._detected_at = self._clock.now()
        choice = choose(found, self._wanted)
        if choice != self.choice:
            changed = (choice.source, choice.alarm) != (self.choice.source, self.choice.alarm)
            first = self._looks == 0
            self.choice = choice
            if changed or first:
                self.on_choice(choice)

    def sample(self, mobile_stale_s: float = 90.0) -> Sample:
        """Read everything once. Never raises for what a file holds."""
        now = self._clock.now()
        lost = self._volts is None or self.choice.alarm is None or self._alarm_lost
        if self._detected_at is None or (lost and now - self._detected_at >= DETECT_S):
            self.detect()
        volts = self._supply(now)
        kind = None if self.choice.source is None else self.choice.source.kind
        suspect = volts is not None and (not is_plausible(volts, kind) or self._jumped(volts))
        self._volts = volts
        alarm = self._alarm()
        _, crit_v = self.limits_v
        self._looks += 1
        return Sample(
            source_time_ns=self._clock.boottime_ns(),
            volts=volts,
            suspect=suspect,
            undervoltage=combine(
                alarm, None if suspect else volts, crit_v, self._ups_now(now).alarm
            ),
            celsius=celsius(self._files.read(self._temperature)) if self._temperature else None,
            throttled=self._is_throttled(),
            route=link.default_route(
                self._files.read(link.ROUTE_PATH), self._files.read(link.ROUTE6_PATH)
            ),
            links=self._links(now, mobile_stale_s),
        )

    def disconnections(self) -> list[tuple[str, Disconnected]]:
        """Return the Wi-Fi disconnections since the last call."""
        return self._wifi.disconnections()

    def _supply(self, now: float) -> float | None:
        source = self.choice.source
        if source is None:
            return None
        if source.kind is SupplyKind.POINT:
            with self._lock:
                point = self._point
            if point is None or now - point[1] > POINT_STALE_S:
                return None
            return point[0] * source.scale
        if source.kind is SupplyKind.NUT:
            volts = self._ups_now(now).volts
            return None if volts is None else volts * source.scale
        if source.kind is SupplyKind.PMIC:
            return source.volts(self._probes.firmware(firmware.READ_SUPPLY))
        return source.volts(self._files.read(source.path, 64))

    def _ups_now(self, now: float) -> UpsReading:
        """Return what the UPS said, nothing if that is too long ago or there is none."""
        with self._lock:
            held = self._ups
        if held is None or now - held[1] > UPS_STALE_S:
            return UpsReading()
        return held[0]

    def _alarm(self) -> UnderVoltage:
        with self._lock:
            rang, self._alarm_rang = self._alarm_rang, False
        state = alarm_state(self.choice.alarm, self._alarm_data())
        self._alarm_lost = state is UnderVoltage.UNKNOWN
        return UnderVoltage.UNDER if rang and self.choice.alarm is not None else state

    def _jumped(self, volts: float) -> bool:
        return self._volts is not None and abs(volts - self._volts) > JUMP * abs(self._volts)

    def _alarm_data(self) -> bytes | None:
        alarm = self.choice.alarm
        if alarm is None:
            return None
        if alarm.kind is not AlarmKind.FIRMWARE:
            return self._files.read(alarm.path, 64)
        reply = self._probes.firmware(firmware.GET_THROTTLED)
        bits = firmware.throttled(reply)
        self._throttled = None if bits is None else bits.frequency_capped or bits.throttled
        return reply

    def _is_throttled(self) -> bool | None:
        """Say whether the processor is slowed down; ``None`` where nothing tells."""
        count = integer(self._files.read(THROTTLE_PATH, 64))
        if count is not None:
            before, self._throttle_count = self._throttle_count, count
            return before is not None and count > before
        alarm = self.choice.alarm
        by_driver = alarm is not None and alarm.kind is AlarmKind.HWMON
        if by_driver and self._looks % THROTTLED_EVERY == 1:
            bits = firmware.throttled(self._probes.firmware(firmware.GET_THROTTLED))
            self._throttled = None if bits is None else bits.frequency_capped or bits.throttled
        return self._throttled

    def _links(self, now: float, mobile_stale_s: float) -> tuple[LinkSample, ...]:
        present = dict(host_evidence.links(self._files))
        wanted = self._settings.interfaces
        if wanted is not None:
            present = {
                name: present.get(name, self._known.get(name, LinkKind.WIRE)) for name in wanted
            }
        self._known.update(present)
        levels: dict[str, Level] = {}
        if LinkKind.WIFI in present.values():
            levels.update(self._wifi.levels())
        with self._lock:
            mobile, at = self._mobile
        if now - at <= mobile_stale_s:
            levels.update(mobile)
        return tuple(
            LinkSample(name, kind, self._link_state(name), levels.get(name))
            for name, kind in present.items()
        )

    def _link_state(self, name: str) -> LinkState:
        base = f"{host_evidence.NET}/{name}"
        return link.link_state(
            {file: self._files.read(f"{base}/{file}", 64) for file in link.FILES}
        )

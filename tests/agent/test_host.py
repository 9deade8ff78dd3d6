"""The host's readings as records: aggregates, trouble with its trace, the reason of a boot."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.agent.boots import read_state, read_trace, trace_names
from gateway.agent.host import LAST_LOOKS, Host
from gateway.agent.metrics import Metrics
from gateway.agent.recorder import Recorder
from gateway.agent.spool.spool import Spool
from gateway.config.agent import SpoolSettings
from gateway.config.host import HostSettings
from gateway.event import Event, EventKind, Scalar
from gateway.host.alarm import UnderVoltage
from gateway.host.link import LinkKind, LinkState
from gateway.host.nl80211 import Disconnected
from gateway.host.radio import Level
from gateway.host.reboot import Phase, RebootClass
from gateway.host.sample import LinkSample, Sample
from gateway.host.shutdown import IS_RUNNING, LIST_JOBS
from gateway.process.clock import Clock, HostFiles
from gateway.process.timesync import MARK, TimeSync
from gateway.reading import Cause, Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire.record import Record, RecordKind
from gateway.wire.rows import decode_schema, unpack_event, unpack_rows
from tests.agent.host_fakes import SetClock, probes, write

OK, UNDER = UnderVoltage.OK, UnderVoltage.UNDER


class Bench:
    """A host's service on a real spool, with clocks that are moved by hand."""

    def __init__(
        self,
        directory: Path,
        settings: HostSettings | None = None,
        programs: Mapping[tuple[str, ...], bytes] | None = None,
    ) -> None:
        self.root = directory / "root"
        self.state = directory / "state"
        self.state.mkdir(exist_ok=True)
        write(self.root, {"/proc/sys/kernel/random/boot_id": "1" * 32})
        spool = SpoolSettings(str(directory / "spool"), max_bytes=4 << 20, keep_free_bytes=0)
        self.spool = Spool.open(spool, "site-1", b"b" * 16, Clock())
        self.metrics = Metrics()
        self.recorder = Recorder(self.spool, self.metrics, 0.0)
        self.records: list[Record] = []
        self.recorder.live = self.records.append
        self.clock = SetClock()
        self.sync = TimeSync(self.clock, HostFiles(self.root), lambda: None)
        self.previous: dict[str, Scalar] = {}
        self.host = Host(
            settings or HostSettings(modem="none"),
            self.state,
            probes(self.root, programs=programs),
            self.recorder,
            self.clock,
            self.sync,
            lambda: self.previous,
        )
        self.recorder.observer = self.host
        self.host.recompose = self.compose
        self.compose()

    def compose(self) -> None:
        meter = SchemaBlock("dc-meter", 1.0, (SchemaPoint("voltage", "V", "f32"),))
        self.recorder.use_schema(Schema((*self.host.blocks(), meter)))

    def look(self, **fields: object) -> None:
        """Let a second pass and take a look that saw `fields`."""
        self.clock.pass_s(1.0)
        seen = Sample(self.clock.boottime_ns(), volts=12.0, undervoltage=OK, route="eth0")
        self.host.take(replace(seen, **fields))

    def events(self) -> list[tuple[str, dict[str, Scalar]]]:
        found = (unpack_event(r.payload) for r in self.records if r.kind == RecordKind.EVENT)
        return [(kind, dict(fields)) for _, kind, fields in found]

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events()]

    def rows(self, source: str) -> list[dict[str, object]]:
        """Return the values recorded of a source, by point."""
        found = []
        for record in self.records:
            if record.kind != RecordKind.ROWS:
                continue
            schema = decode_schema(self.spool.schemas(self.spool.epoch)[record.payload[1]])
            for row in unpack_rows(record.payload, schema):
                block = schema.blocks[row.block]
                if block.source == source:
                    names = [point.name for point in block.points]
                    found.append(dict(zip(names, row.values, strict=True)))
        return found

    async def close(self) -> None:
        self.host.close()
        await self.spool.close(clean=True)


def links(carrier: bool = True, dbm: float | None = -60.0) -> tuple[LinkSample, ...]:
    level = None if dbm is None else Level("wifi", rssi_dbm=dbm)
    return (
        LinkSample("eth0", LinkKind.WIRE, LinkState(carrier, "up", carrier_downs=0)),
        LinkSample("wlan0", LinkKind.WIFI, LinkState(True, "up"), level),
    )


async def test_an_aggregate_is_readings_like_others(tmp_path: Path) -> None:
    """Rows of the source `host`; an interface that appears gets a block of its own."""
    bench = Bench(tmp_path)
    bench.look()
    bench.host.record()
    bench.look(volts=11.0, links=links())
    bench.look(links=links(dbm=-70.0))
    bench.host.record()
    first, second, eth0, wlan0 = bench.rows("host")
    assert (first["supply_v"], first["default_route"]) == (12.0, "eth0")
    assert (second["supply_min_v"], second["supply_max_v"]) == (11.0, 12.0)
    assert eth0["eth0.carrier"] is True
    assert (wlan0["wlan0.signal_min"], wlan0["wlan0.signal_mean"]) == (-70.0, -65.0)
    assert bench.rows("host.trace") == [] and bench.kinds() == []
    await bench.close()


async def test_a_sag_flushes_the_two_minutes_before(tmp_path: Path) -> None:
    """Event, then the trace's rows, then the event that closes it; and the same on the gateway."""
    bench = Bench(tmp_path)
    await bench.host.begin(had_backlog=False)
    for _ in range(200):
        bench.look()
    bench.look(volts=9.5, undervoltage=UNDER)
    assert bench.kinds() == ["boot_classified", "supply_low", "trace"]
    trace = bench.rows("host.trace")
    assert len(trace) == 120
    assert [trace[-2]["supply_v"], trace[-1]["supply_v"]] == [12.0, 9.5]
    assert trace[-1]["undervoltage"] is True
    (_, told) = bench.events()[-1]
    assert told == {"reason": "supply_low", "looks": 120, "seconds": 119.0}
    await bench.host.leave()
    (name,) = trace_names(bench.state)
    kept = read_trace(bench.state, name)
    assert kept is not None and len(kept.points) == 120
    assert (kept.reason, kept.points[-1].volts) == ("supply_low", 9.5)
    state = read_state(bench.state)
    assert state is not None and state.low_since_ns is not None and state.low_until_ns is None
    await bench.close()


async def test_the_looks_of_a_low_supply_go_out_one_by_one(tmp_path: Path) -> None:
    """The next may be the last; a supply that stays low does not go on for ever. On the card
    they come with the next trace, each once."""
    bench = Bench(tmp_path)
    await bench.host.begin(had_backlog=False)
    for _ in range(3):
        bench.look()
    for volts in (9.5, 9.0, 8.5):
        bench.look(volts=volts, undervoltage=UNDER)
    assert [row["supply_v"] for row in bench.rows("host.trace")] == [12, 12, 12, 9.5, 9.0, 8.5]
    for _ in range(60):
        bench.look(volts=8.0, undervoltage=UNDER)
    assert len(bench.rows("host.trace")) == 3 + LAST_LOOKS
    assert bench.kinds().count("trace") == 1
    bench.recorder.event(Event.make(EventKind.SESSION_ENDED, bench.clock.boottime_ns()))
    assert len(bench.rows("host.trace")) == 66
    await bench.host.leave()
    kept = [read_trace(bench.state, name) for name in trace_names(bench.state)]
    assert [len(trace.points) for trace in kept if trace is not None] == [4, 62]
    await bench.close()


@pytest.mark.parametrize(
    "kind", [EventKind.SESSION_ENDED, EventKind.CLOCK_STEPPED, EventKind.AGENT_STOPPING]
)
async def test_trouble_elsewhere_flushes_too(tmp_path: Path, kind: EventKind) -> None:
    """A lost session, a clock step, SIGTERM: what led up to it is recorded."""
    bench = Bench(tmp_path)
    for _ in range(5):
        bench.look()
    bench.recorder.event(Event.make(kind, bench.clock.boottime_ns()))
    assert bench.kinds() == [kind.value, "trace"]
    assert bench.events()[-1][1]["reason"] == kind.value
    assert len(bench.rows("host.trace")) == 5
    await bench.close()


async def test_each_second_is_traced_once(tmp_path: Path) -> None:
    """Two troubles within two minutes share nothing."""
    bench = Bench(tmp_path)
    for _ in range(5):
        bench.look(links=links())
    bench.look(links=links(carrier=False))
    bench.look(links=links(carrier=False, dbm=None))
    bench.look(links=links(carrier=False, dbm=None))
    assert bench.kinds() == ["carrier_lost", "trace", "radio_lost", "trace"]
    assert [told.get("looks") for kind, told in bench.events() if kind == "trace"] == [6, 2]
    assert len(bench.rows("host.trace")) == 8
    await bench.close()


async def test_what_flaps_is_bounded(tmp_path: Path) -> None:
    """An hour of a cable that comes and goes writes a bounded number of events, and says how
    many were held back."""
    bench = Bench(tmp_path)
    for second in range(3600):
        bench.look(links=links(carrier=second % 12 != 0))
    lost = [fields for kind, fields in bench.events() if kind == "carrier_lost"]
    returned = [fields for kind, fields in bench.events() if kind == "carrier_returned"]
    assert 10 <= len(lost) <= 10 + 3600 / 30 + 1
    assert 0 <= len(lost) - len(returned) <= 1
    assert any(fields.get("suppressed") for fields in [*lost, *returned])
    counted = {s.name: s.value for s in bench.host.samples() if s.counter}
    # The first look had no carrier to lose.
    assert counted["gateway_carrier_losses"] == 299
    assert bench.kinds().count("trace") <= 10 + 3600 / 30 + 1
    await bench.close()


async def test_the_kernels_word_of_a_disconnection(tmp_path: Path) -> None:
    """It comes before the level is missed, with its reason."""
    bench = Bench(tmp_path)
    bench.look(links=links())
    bench.clock.pass_s(1.0)
    seen = Sample(bench.clock.boottime_ns(), route="eth0", links=links(dbm=None))
    bench.host.take(seen, [("wlan0", Disconnected(3, 4, True))])
    kind, fields = bench.events()[0]
    assert (kind, fields["interface"], fields["reason"]) == ("radio_lost", "wlan0", 4)
    await bench.close()


async def test_the_meter_as_the_supply(tmp_path: Path) -> None:
    """Rows of a bus reach the sampler; a bad reading is no voltage."""
    bench = Bench(tmp_path, HostSettings(supply="dc-meter.voltage", modem="none"))
    sampler = bench.host._sampler
    sampler.sample()
    bench.recorder.rows([Row(2, 1, (24.5,))])
    assert sampler.sample().volts == 24.5
    bench.recorder.rows([Row(2, 2, (None,), (Cause.NO_REPLY,))])
    assert sampler.sample().volts is None
    await bench.close()


async def test_the_reason_of_a_boot(tmp_path: Path) -> None:
    """Told once at the start, and in the facts of every Hello."""
    bench = Bench(tmp_path)
    told: list[tuple[tuple[str, Scalar], ...]] = []
    bench.host.on_facts = lambda: told.append(bench.host.facts())
    assert bench.host.facts() == ()
    await bench.host.begin(had_backlog=False)
    (kind, fields) = bench.events()[0]
    assert (kind, fields["class"], fields["rule"]) == ("boot_classified", "first_start", 0)
    assert dict(told[0])["reboot"] == "first_start"
    await bench.close()


def reboots(bench: Bench) -> dict[str, float]:
    """Return the counter by class; every class is there, at 0 until it happened."""
    found = [s for s in bench.host.samples() if s.name == "gateway_reboots"]
    assert {dict(s.labels)["class"] for s in found} == {one.value for one in RebootClass}
    return {dict(s.labels)["class"]: s.value for s in found}


async def test_the_reason_is_revised_when_the_silence_is_known(tmp_path: Path) -> None:
    """It takes a synchronised clock and what the centre last stored; it happens once."""
    bench = Bench(tmp_path)
    await bench.host.begin(had_backlog=False)
    await bench.close()
    write(bench.root, {"/proc/sys/kernel/random/boot_id": "2" * 32})
    again = Bench(tmp_path)
    write(again.root, {"/proc/sys/kernel/random/boot_id": "2" * 32})
    await again.host.begin(had_backlog=False)
    assert again.events()[0][1]["class"] == "unclean_unknown"
    again.previous = {
        "boot_id": "1" * 32,
        "last_wall_ns": again.clock.wall_ns() - 4000 * 1_000_000_000,
    }
    again.host.record()
    assert "boot_revised" not in again.kinds()
    before = reboots(again)
    assert (before["first_start"], before["unclean_unknown"], before["power_cut"]) == (1, 0, 0)
    write(again.root, {MARK: b""})
    again.sync.refresh()
    again.host.record()
    again.host.record()
    revised = [fields for kind, fields in again.events() if kind == "boot_revised"]
    assert [(r["class"], r["confidence"]) for r in revised] == [("power_cut", "possible")]
    assert dict(again.host.facts())["reboot"] == "power_cut"
    assert reboots(again) == before | {"power_cut": 1}
    await again.close()


async def test_a_start_that_nobody_will_judge_again_is_counted_at_once(tmp_path: Path) -> None:
    """Records of an earlier run are on the way: the silence before stays unknown."""
    bench = Bench(tmp_path)
    await bench.host.begin(had_backlog=False)
    await bench.close()
    write(bench.root, {"/proc/sys/kernel/random/boot_id": "2" * 32})
    again = Bench(tmp_path)
    write(again.root, {"/proc/sys/kernel/random/boot_id": "2" * 32})
    await again.host.begin(had_backlog=True)
    assert reboots(again)["unclean_unknown"] == 1
    await again.close()


async def test_a_sag_the_centre_saw_needs_no_clock(tmp_path: Path) -> None:
    """It is told at once, and not again when the clock is synchronised."""
    bench = Bench(tmp_path)
    await bench.host.begin(had_backlog=False)
    await bench.close()
    write(bench.root, {"/proc/sys/kernel/random/boot_id": "2" * 32})
    again = Bench(tmp_path)
    write(again.root, {"/proc/sys/kernel/random/boot_id": "2" * 32})
    await again.host.begin(had_backlog=False)
    last_ns = 1 << 62
    again.previous = {
        "boot_id": "1" * 32, "last_source_time_ns": last_ns, "low_source_time_ns": last_ns - 5,
    }  # fmt: skip
    for _ in range(3):
        again.host.record()
    write(again.root, {MARK: b""})
    again.sync.refresh()
    again.host.record()
    revised = [fields for kind, fields in again.events() if kind == "boot_revised"]
    assert [(r["class"], r["confidence"]) for r in revised] == [("brown_out", "possible")]
    await again.close()


async def test_a_backlog_hides_the_silence(tmp_path: Path) -> None:
    """While older records are still to be sent, the centre's last is not the last there was."""
    bench = Bench(tmp_path)
    await bench.host.begin(had_backlog=True)
    write(bench.root, {MARK: b""})
    bench.sync.refresh()
    bench.previous = {"boot_id": "1" * 32, "last_wall_ns": 1}
    bench.host.record()
    assert "boot_revised" not in bench.kinds()
    await bench.close()


@pytest.mark.parametrize(
    ("programs", "phase", "target"),
    [
        ({}, Phase.STOPPED, ""),
        ({IS_RUNNING: b"running\n"}, Phase.STOPPED, ""),
        (
            {IS_RUNNING: b"stopping\n", LIST_JOBS: b"1 poweroff.target start waiting\n"},
            *(Phase.SYSTEM_STOPPING, "poweroff"),
        ),
    ],
)
async def test_a_stop_of_the_daemon_or_of_the_system(
    tmp_path: Path, programs: Mapping[tuple[str, ...], bytes], phase: Phase, target: str
) -> None:
    """systemd's word decides what the next start will be called."""
    bench = Bench(tmp_path, programs=programs)
    await bench.host.begin(had_backlog=False)
    await bench.host.leave()
    state = read_state(bench.state)
    assert state is not None and (state.memory.phase, state.memory.target) == (phase, target)
    await bench.close()


async def test_metrics_leave_out_what_is_unknown(tmp_path: Path) -> None:
    """No under-voltage of 0 where nothing can tell, no level where nothing is heard."""
    bench = Bench(tmp_path)
    await bench.host.begin(had_backlog=False)
    bench.look(volts=None, undervoltage=UnderVoltage.UNKNOWN, links=links(dbm=None))
    names = {sample.name for sample in bench.host.samples()}
    assert not names & {
        *("gateway_supply_volts", "gateway_supply_undervoltage", "gateway_radio_signal_dbm")
    }
    bench.look(undervoltage=UNDER, links=links())
    found = {(s.name, *(v for _, v in s.labels)): s.value for s in bench.host.samples()}
    assert found["gateway_supply_undervoltage",] == 1.0
    assert found["gateway_radio_signal_dbm", "wlan0", "rssi"] == -60.0
    assert found["gateway_link_carrier", "eth0"] == 1.0
    assert found["gateway_last_reboot_info", "first_start", "certain"] == 1.0
    assert found["gateway_reboots", "first_start"] == 1.0
    await bench.close()


async def test_the_journals_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line a change, with supply and level."""
    caplog.set_level("INFO")
    bench = Bench(tmp_path)
    bench.look(links=links())
    bench.look(volts=4.612, undervoltage=UNDER, links=links(dbm=-71.0), celsius=52.4)
    (line,) = [r.getMessage() for r in caplog.records if "change=" in r.getMessage()]
    assert line == (
        "host change=supply_low supply_v=4.612 undervoltage=under rssi_dbm=-71 route=eth0"
        " eth0.carrier=1 wlan0.carrier=1 cpu_c=52"
    )
    await bench.close()


async def test_a_ups_that_cannot_be_asked_is_told_once(tmp_path: Path) -> None:
    """And once when it can again; what is not said is no state of the supply."""
    bench = Bench(tmp_path, HostSettings(modem="none", supply="nut:ups@localhost"))
    fault = "upsd at localhost:3493: Connection refused; is nut-server running?"
    for said in ("", fault, fault, "upsd at localhost:3493: timed out", "", ""):
        bench.host._ups_said(said)
    told = [(kind, fields["device"]) for kind, fields in bench.events() if "device" in fields]
    assert told == [("device_down", "nut:ups@localhost"), ("device_up", "nut:ups@localhost")]
    assert bench.events()[0][1]["text"] == fault
    await bench.close()


async def test_a_trace_is_two_minutes_whatever_was_looked_out_of_turn(tmp_path: Path) -> None:
    """Extra looks at edges make no trace longer, and push no second out of it."""
    bench = Bench(tmp_path)
    for _ in range(140):
        bench.look()
    bench.look(undervoltage=UNDER)
    trace = next(fields for kind, fields in bench.events() if kind == "trace")
    assert trace["looks"] == 120
    await bench.close()

"""The buses together: one schema, restarts of what crashed, and stops."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.agent import fleet as fleet_module
from gateway.agent.bus import Bus
from gateway.agent.fleet import Fleet
from gateway.agent.metrics import Metrics
from gateway.agent.poller import Poller
from gateway.agent.recorder import Recorder
from gateway.agent.spool.spool import Spool
from gateway.config.agent import BusSettings, DeviceSettings, PointSettings, SpoolSettings
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.process.clock import Clock
from gateway.wire.record import Record, RecordKind
from gateway.wire.rows import decode_schema, unpack_event, unpack_rows
from tests.rig import CountingDevice, counting_device
from tests.waiting import until


class CrashingPoller(Poller):
    """Raises in the bus thread after its first poll, once."""

    crashes = 0

    def work(self, bus: Bus, now: float) -> None:
        """Poll, then crash."""
        super().work(bus, now)
        if not CrashingPoller.crashes:
            CrashingPoller.crashes += 1
            raise RuntimeError("a bug in the bus thread")


class Recorded:
    """A recorder whose records are kept."""

    def __init__(self, directory: Path) -> None:
        settings = SpoolSettings(str(directory / "spool"), max_bytes=4 << 20, keep_free_bytes=0)
        self.spool = Spool.open(settings, "site-1", b"b" * 16, Clock())
        self.metrics = Metrics()
        self.recorder = Recorder(self.spool, self.metrics, 0.0)
        self.records: list[Record] = []
        self.recorder.live = self.records.append

    def answers(self, source: str) -> list[object]:
        """Return the values read of a device."""
        found = []
        for record in self.records:
            if record.kind == RecordKind.ROWS:
                schema = decode_schema(self.spool.schemas(self.spool.epoch)[record.payload[1]])
                for row in unpack_rows(record.payload, schema):
                    if schema.blocks[row.block].source == source:
                        found.append(row.values[0])
        return found

    def events(self) -> list[tuple[str, dict[str, object]]]:
        """Return the events recorded."""
        unpacked = (unpack_event(r.payload) for r in self.records if r.kind == RecordKind.EVENT)
        return [(kind, dict(fields)) for _, kind, fields in unpacked]


def bus(name: str, device: CountingDevice) -> BusSettings:
    """One device with one point, asked 50 times a second."""
    spec = PointSpec("answer", Table.HOLDING, 0, DataType.U32, registers=2)
    points = (PointSettings(spec, 0.02),)
    devices = (DeviceSettings(f"{name}-device", 1, points, timeout_s=1.0),)
    return BusSettings(name, device.port, 115200, "none", devices=devices)


@pytest.fixture
def devices() -> Iterator[list[CountingDevice]]:
    """Two devices on two ptys."""
    with counting_device() as one, counting_device() as two:
        yield [one, two]


async def test_buses_share_one_schema_and_come_and_go(
    tmp_path: Path, devices: list[CountingDevice]
) -> None:
    """Blocks of a bus keep their meaning when another bus is added or taken away."""
    recorded = Recorded(tmp_path)
    fleet = Fleet(recorded.recorder, recorded.metrics, Clock())
    fleet.start([bus("bus1", devices[0])])
    await until(lambda: len(recorded.answers("bus1-device")) >= 3)
    await fleet.change([], [bus("bus2", devices[1])])
    await until(lambda: len(recorded.answers("bus2-device")) >= 3)
    await fleet.change(["bus1"], [])
    stopped = len(devices[0].answers)
    before = len(recorded.answers("bus2-device"))
    await until(lambda: len(recorded.answers("bus2-device")) >= before + 3)
    assert len(devices[0].answers) == stopped
    await fleet.stop()
    for name in ("bus1", "bus2"):
        answers = recorded.answers(f"{name}-device")
        assert answers == list(range(len(answers)))
    await recorded.spool.close(clean=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_bus_that_crashed_is_started_again(
    tmp_path: Path, devices: list[CountingDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The crash is an event and a metric; the bus reads again and the other never stopped."""
    monkeypatch.setattr(fleet_module, "CHECK_S", 0.05)
    monkeypatch.setattr(CrashingPoller, "crashes", 0)
    recorded = Recorded(tmp_path)
    fleet = Fleet(recorded.recorder, recorded.metrics, Clock())
    fleet.start([bus("bus2", devices[1])])
    monkeypatch.setattr(fleet_module, "Poller", CrashingPoller)
    fleet.start([bus("bus1", devices[0])])
    supervisor = asyncio.create_task(fleet.supervise())
    await until(lambda: len(recorded.answers("bus1-device")) >= 5)
    (crash,) = [fields for kind, fields in recorded.events() if kind == "task_failed"]
    assert crash["task"] == "agent.bus[bus1]"
    assert "a bug in the bus thread" in str(crash["text"])
    supervisor.cancel()
    await asyncio.wait({supervisor})
    await fleet.stop()
    answers = recorded.answers("bus2-device")
    assert answers == list(range(len(answers)))
    samples = {sample.name for sample in fleet.samples()}
    assert samples == set()  # nothing runs any more
    await recorded.spool.close(clean=True)

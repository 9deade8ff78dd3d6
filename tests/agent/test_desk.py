"""Pins what a running agent answers to commands: live state, jobs between polls, reload's word."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.errors import RefusedError
from gateway.process.control_client import ControlClient, NoAgentError, control_path
from gateway.process.control_messages import PointState, Request, Status
from tests.cabinet import agent_listens
from tests.rig import Daemon, free_port
from tests.site import scrape, wait_for
from tests.virtual_site import virtual_bus

CONFIG = """
[gateway]
id = "site-1"
state_directory = "{directory}"
[uplink]
url = "ws://127.0.0.1:1/gateway"
[spool]
directory = "{directory}/spool"
max_bytes = 8388608
keep_free_bytes = 0
[metrics]
listen = "127.0.0.1:{metrics}"
[[bus]]
name = "b"
port = "{port}"
baud = 19200
parity = "none"
[[bus.device]]
name = "room"
unit_id = 12
profile = "xy-md02"
poll_interval_s = {interval_s}
[[bus.device.point]]
name = "setting"
table = "holding"
address = 0xFFF0
type = "u16"
writable = true
write_min = 0
write_max = 5
write_interval_s = 60
[[bus.device]]
name = "gone"
unit_id = 13
profile = "xy-md02"
timeout_s = 0.05
"""


@dataclass(slots=True)
class Running:
    """An agent that runs, with its file."""

    path: Path
    port: str
    metrics: int

    def write(self, interval_s: str = "0.2") -> None:
        text = CONFIG.format(
            directory=self.path.parent, metrics=self.metrics, port=self.port, interval_s=interval_s
        )
        self.path.write_text(text)

    def client(self) -> ControlClient:
        return ControlClient(self.path.parent / "control.sock")

    def status(self) -> Status:
        with self.client() as client:
            status = client.ask(Request("status")).status
        assert status is not None
        return status

    def points(self) -> dict[str, PointState]:
        with self.client() as client:
            points = client.ask(Request("points")).points
        return {f"{point.source}.{point.point}": point for point in points}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An agent as a process, without a centre, on a virtual bus."""
    directory = tmp_path_factory.mktemp("d")
    with virtual_bus(directory, 19200, "xymd02:12") as port:
        running = Running(directory / "gateway.toml", port, free_port())
        running.write()
        daemon = Daemon(["run", "--config", str(running.path)], directory / "log")
        socket = directory / "control.sock"
        try:
            daemon.start()
            wait_for("the control socket", lambda: daemon.check() is None and agent_listens(socket))
            wait_for("a reading", lambda: running.points()["room.humidity"].quality == "good")
            yield running
            assert daemon.stop() == 0
            assert not socket.exists()
        finally:
            daemon.ensure_gone()


def test_status_is_the_agents(agent: Running) -> None:
    """Who it is, its buses and devices, the link that is down and why, the spool."""
    status = agent.status()
    assert (status.gateway_id, status.config) == ("site-1", str(agent.path))
    assert status.pid > 0 and status.revision and status.readings > 0
    assert not status.link.connected
    wait_for("the link's first word", lambda: "refused" in agent.status().link.text)
    (bus,) = status.buses
    assert (bus.name, bus.open, bus.baud) == ("b", True, 19200)
    assert bus.planned > 0 and bus.transactions > 0
    room, _ = bus.devices
    assert (room.name, room.unit_id, room.profile, room.health) == ("room", 12, "xy-md02", "good")
    assert room.turnaround_s is not None and room.turnaround_s > 0.005
    down = ("no_reply", "device_down")
    wait_for("the absent one", lambda: agent.status().buses[0].devices[1].health in down)
    wait_for("records in the spool", lambda: agent.status().spool.records > 0)


def test_points_have_their_last_reading(agent: Running) -> None:
    """Value, age, interval and the rate that it comes at; bad ones with their cause."""
    wait_for("a rate", lambda: agent.points()["room.humidity"].rate > 0)
    point = agent.points()["room.humidity"]
    assert isinstance(point.value, float) and 10 < point.value < 90
    assert (point.unit, point.quality, point.interval_s) == ("%RH", "good", 0.2)
    assert point.age_s is not None and point.age_s < 5
    assert agent.points()["gone.humidity"].cause in ("no_reply", "device_down")


def test_a_subscription_brings_news(agent: Running) -> None:
    """Updates come until the peer leaves, each with the state first."""
    with agent.client() as client:
        updates = 0
        for reply in client.lines(Request("subscribe", every_s=0.2)):
            if reply.status is not None:
                assert reply.more and reply.status.gateway_id == "site-1"
            updates += not reply.more
            if updates == 3:
                break
    assert agent.status().gateway_id == "site-1"


def test_a_read_is_a_job_between_polls(agent: Running) -> None:
    """Registers, values and frames, while the polling goes on."""
    with agent.client() as client:
        result = client.ask(Request("read", "room")).read
        assert result is not None
        assert [point.name for point in result.points] == ["temperature", "humidity", "setting"]
        assert all(point.quality == "good" for point in result.points)
        assert result.frames[0][1].startswith("0c ")
        with pytest.raises(RefusedError, match="no such device; the config has gone, room"):
            client.ask(Request("read", "kitchen"))


def test_a_write_is_told_and_paced(agent: Running) -> None:
    """Read back, an event for the centre; the next one must wait for write_interval_s."""
    with agent.client() as client:
        result = client.ask(Request("write", "room.setting", "4")).write
        assert result is not None
        assert (result.agrees, result.told, result.after.value) == (True, True, 4)
        with pytest.raises(RefusedError, match="written a moment ago"):
            client.ask(Request("write", "room.setting", "5"))
        with pytest.raises(RefusedError, match="does not mark it writable"):
            client.ask(Request("write", "room.humidity", "5"))
    assert scrape(agent.metrics)['gateway_events_total{kind="point_written"}'] == 1


def test_a_reload_comes_back_with_its_word(agent: Running) -> None:
    """A wrong file leaves everything as it is and says why; a right one says what restarted."""
    before = agent.status()
    with agent.client() as client:
        agent.path.write_text(agent.path.read_text() + "[[bus]]\nnme = 3\n")
        word = client.ask(Request("reload")).reload
        assert word is not None
        assert not word.ok and "nme" in word.text and word.revision == before.revision
        agent.write("0.3")
        word = client.ask(Request("reload")).reload
        assert word is not None
        assert word.ok and word.restarted == ("b",) and word.revision != before.revision
    after = agent.status()
    assert after.pid == before.pid
    assert after.reload.ok and after.reload.ago_s is not None
    wait_for("the new interval", lambda: agent.points()["room.humidity"].interval_s == 0.3)


def test_where_the_socket_is() -> None:
    """The config's word, systemd's directory, a state directory of its own, the usual place."""
    assert control_path(None, {}) == Path("/run/gateway/control.sock")
    assert control_path(None, {"RUNTIME_DIRECTORY": "/run/x:/run/y"}) == Path("/run/x/control.sock")
    with pytest.raises(NoAgentError, match="is it running"):
        ControlClient(Path("/nowhere/control.sock"))

"""The host of a running agent: rows, the facts of Hello, restarts told apart, a trace."""

import signal
from pathlib import Path

from gateway.agent.boots import read_boots, read_state, trace_names
from gateway.host.reboot import Phase
from tests.agent.memory_centre import MemoryCentre, memory_centre
from tests.agent.test_daemon import prepared, values
from tests.waiting import until

FAST = '\n[host]\naggregate_s = 1\nmodem = "none"\n'


async def test_a_start_a_crash_and_a_restart(tmp_path: Path) -> None:
    """Rows of `host` arrive; kill -9 is a crash, SIGTERM a restart; a stop leaves its trace."""

    def reboot(centre: MemoryCentre) -> object:
        return dict(centre.hellos[-1].facts)["reboot"]

    async with memory_centre(MemoryCentre()) as centre, prepared(tmp_path, centre.port) as agent:
        agent.configure(extra=FAST)
        await agent.start()
        await until(lambda: len(values(centre, "host")) >= 1)
        assert agent.metric("gateway_boot_time_seconds") > 1e9
        assert reboot(centre) == "first_start"
        agent.signal(signal.SIGKILL)
        assert agent.process is not None
        await agent.process.wait()

        await agent.start()
        await until(lambda: len(centre.hellos) >= 2)
        assert reboot(centre) == "daemon_crash"
        before = len(values(centre, "host"))
        await until(lambda: len(values(centre, "host")) > before)
        assert await agent.stop() == 0
        assert centre.events("trace")[-1]["reason"] == "agent_stopping"
        assert values(centre, "host.trace")
        state = read_state(tmp_path)
        assert state is not None and state.memory.phase is Phase.STOPPED

        await agent.start()
        await until(lambda: len(centre.hellos) >= 3)
        assert reboot(centre) == "daemon_restart"
        assert await agent.stop() == 0
    (boot,) = read_boots(tmp_path)
    assert (boot.reboot, boot.restarts, boot.crashes) == ("first_start", 2, 1)
    assert trace_names(tmp_path)
    told = [event["class"] for event in centre.events("boot_classified")]
    assert told == ["first_start", "daemon_crash", "daemon_restart"]

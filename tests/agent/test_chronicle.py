"""Pins that the agent's journal carries the words people search for."""

from pathlib import Path

import pytest

from tests.agent.memory_centre import MemoryCentre, memory_centre
from tests.agent.side import agent
from tests.rig import Relay, free_port
from tests.waiting import until


async def test_what_ends_a_session_is_found_in_the_journal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused connection and a reset one are logged under their errno's names."""
    port, centre = free_port(), MemoryCentre()
    async with agent(tmp_path, port) as side:
        await until(lambda: "error=ECONNREFUSED" in caplog.text)
        assert "close=1006" not in caplog.text  # no session, no close
        async with memory_centre(centre, port):
            await until(lambda: side.metrics.connected._value.get() == 1)
        await until(lambda: "close=1006" in caplog.text)
    assert "cannot connect cause=refused phase=tcp error=ECONNREFUSED" in caplog.text
    assert "left=on_purpose" not in caplog.text


async def test_a_reset_is_named_with_1006(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that a box between the two resets says ECONNRESET and 1006."""
    centre = MemoryCentre()
    async with memory_centre(centre):
        relay = Relay(centre.port)
        try:
            async with agent(tmp_path, relay.port) as side:
                await until(lambda: side.metrics.connected._value.get() == 1)
                relay.cut()
                await until(lambda: "error=ECONNRESET close=1006" in caplog.text)
        finally:
            relay.stop()

"""Serial sources in the running agent: talking and asked, unplugged and back, reloaded."""

import os
import signal
from pathlib import Path

from gateway.reading import Cause
from gateway.wire.record import RecordKind
from gateway.wire.rows import unpack_rows
from tests.agent.memory_centre import MemoryCentre, memory_centre
from tests.agent.test_daemon import prepared, values
from tests.agent.test_port import Pty
from tests.agent.test_serial_reader import Ups
from tests.rig import counting_device
from tests.waiting import until

SCALE = """
[[serial]]
name = "scale"
port = "{port}"
format = "regex"
silent_after_s = 0.5

[serial.options]
pattern = 'ST,GS,(?P<weight>[+-]\\d+\\.\\d)kg'

[[serial.point]]
name = "weight"
unit = "kg"
decimals = 1
"""
UPS = """
[[serial]]
name = "ups"
port = "{port}"
format = "delimited"
ask = "Q1\\r"
poll_interval_s = {interval_s}
timeout_s = 0.1

[serial.options]
start = "("
end = "\\r"
delimiter = " "
fields = ["count", "frequency"]

[[serial.point]]
name = "count"
"""


def causes(centre: MemoryCentre, source: str) -> set[Cause]:
    """Return every cause stored of a source's bad readings."""
    found: set[Cause] = set()
    for (epoch, _), record in centre.records.items():
        if record.kind == RecordKind.ROWS:
            schema = centre.schemas[epoch, record.payload[1]].schema
            for row in unpack_rows(record.payload, schema):
                if schema.blocks[row.block].source == source:
                    found.update(row.causes or ())
    return found


async def test_two_sources_beside_a_bus(tmp_path: Path) -> None:
    """Both reach the centre; one is unplugged and comes back, one is reloaded; the bus and the
    session never notice."""
    scale, ups_port = Pty(tmp_path / "scale"), Pty(tmp_path / "ups")
    try:
        with counting_device() as device, Ups(ups_port) as ups:
            async with (
                memory_centre(MemoryCentre()) as centre,
                prepared(tmp_path, centre.port) as agent,
            ):
                sources = SCALE.format(port=scale.path)
                slow = UPS.format(port=ups_port.path, interval_s=0.2)
                agent.configure(("bus1", device, 0.05), extra=sources + slow)
                await agent.start()

                def opened() -> bool:
                    return agent.metric('gateway_serial_port_open{source="scale"}') == 1.0

                await until(opened)
                os.write(scale.adapter, b"\nST,GS,+00012.3kg\r\nST,GS,+000")
                os.write(scale.adapter, b"00.0kg\r\n\xff\xfenoise\r\nST,GS,-00001.5kg\r\n")
                await until(lambda: values(centre, "scale")[:3] == [12.3, 0.0, -1.5])
                await until(lambda: len(values(centre, "ups")) >= 3)
                scale.unplug()
                await until(lambda: Cause.PORT_LOST in causes(centre, "scale"))
                await until(lambda: len(centre.events("port_lost")) == 1)
                assert centre.events("port_lost")[0]["source"] == "scale"
                scale.plug()
                await until(lambda: len(centre.events("port_returned")) == 1)
                await until(opened)
                os.write(scale.adapter, b"\r\nST,GS,+00007.0kg\r\n")
                await until(lambda: 7.0 in values(centre, "scale"))
                quick = UPS.format(port=ups_port.path, interval_s=0.1)
                agent.configure(("bus1", device, 0.05), extra=sources + quick)
                agent.signal(signal.SIGHUP)
                await agent.hear("READY=1")
                before = len(values(centre, "ups"))
                await until(lambda: len(values(centre, "ups")) >= before + 3)
                assert await agent.stop() == 0
                stored = values(centre, "bus1-device")
                assert stored == list(range(len(stored)))
                assert len(centre.hellos) == 1
                counts = [value for value in values(centre, "ups") if value is not None]
                assert counts == sorted(counts, key=float) and len(counts) <= ups.asked
                assert "Traceback" not in agent.log
    finally:
        scale.close()
        ups_port.close()

"""A day of two centre nodes in two stores, told so that every kind of incident is in it.

Owns what happens: a feeder that loses power, a radio that fades, a proxy that dies, a drain, a
session that ends without a word, a gateway that is still away. Nothing here says what the analysis
should make of it: the evidence does.
"""

from dataclasses import dataclass, field
from pathlib import Path

from gateway.event import EventKind
from tests.centre.history import Box, History, at

FROM_S, TO_S = 0.0, 6 * 3600.0
PROXIES = ("10.0.0.5", "10.0.0.6")


@dataclass
class Day:
    """Both nodes and their gateways. `stores`: the files."""

    nodes: tuple[History, History]
    boxes: list[tuple[History, Box, str]]
    opened: list[int]
    counts: list[tuple[float, tuple[int, int], tuple[int, int]]] = field(default_factory=list)
    """(seconds, connections of each node, connections made by each) as they were sampled."""

    @property
    def stores(self) -> tuple[Path, Path]:
        first, second = self.nodes
        return first.path, second.path

    def count(self, seconds: float, first: int, second: int) -> None:
        """Sample both nodes' connections."""
        made = (self.opened[0], self.opened[1])
        self.counts.append((seconds, (first, second), made))
        for node, active, opened in zip(self.nodes, (first, second), made, strict=True):
            node.count(seconds, active, opened)


def play(directory: Path) -> Day:
    """Write both stores below `directory`."""
    nodes = (History(directory / "a.sqlite", "a"), History(directory / "b.sqlite", "b"))
    boxes = []
    for number in range(16):
        node = nodes[number % 2]
        feeder = "north" if number < 6 else "south"
        box = Box(
            f"site-{number:02}",
            labels=(("label.feeder", feeder), ("label.operator", f"op{number % 3}")),
        )
        proxy = PROXIES[number % 2]
        node.come(box, 1.0 + number / 10, proxy=proxy)
        boxes.append((node, box, proxy))
    day = Day(nodes, boxes, [8, 8])
    day.count(5.0, 8, 8)
    for minute in range(1, 360):
        _minute(day, minute)
    for node in nodes:
        node.alive(TO_S)
        node.close()
    return day


def _minute(day: Day, minute: int) -> None:
    told = {30: _feeder, 90: _radio, 150: _proxy, 210: _drain, 270: _silent, 330: _away}
    seconds = minute * 60.0
    for node in day.nodes:
        node.alive(seconds)
    north_away = 3 if 30 < minute < 34 else 0
    day.count(seconds - 1, 8 - north_away, 8 - north_away - (minute > 330))
    if minute in told:
        told[minute](day, seconds)


def _feeder(day: Day, seconds: float) -> None:
    """The supply of six gateways sags and is gone; they are back after a few minutes."""
    fallen = [one for one in day.boxes if dict(one[1].labels)["label.feeder"] == "north"]
    for place, (node, box, _) in enumerate(fallen):
        for back in range(120, 0, -10):
            volts = 5.05 if back > 30 else 4.4 + back / 100
            node.look(box, seconds - back, volts, -61.0, low=back <= 20)
        node.tell(box, seconds - 20, EventKind.SUPPLY_LOW, volts=4.6)
        node.send(box, seconds - 1)
        node.go(box, seconds + place / 10, "network", "timed_out", last_message_age_s=1.0)
    day.count(seconds + 1, 5, 5)
    for place, (node, box, proxy) in enumerate(fallen):
        back = seconds + 180 + 7 * place
        node.reboot(box, back - 30)
        node.come(box, back, proxy=proxy)
        node.tell(
            box, back - 20, EventKind.BOOT_CLASSIFIED,
            **{"class": "power_cut", "confidence": "probable", "evidence": "power-on reset"},
        )  # fmt: skip
        node.send(box, back + 1)
        day.opened[day.nodes.index(node)] += 1
    day.count(seconds + 230, 8, 8)


def _radio(day: Day, seconds: float) -> None:
    """The radio of one gateway fades until nothing gets through."""
    node, box, proxy = day.boxes[9]
    for back in range(120, 0, -10):
        node.look(box, seconds - back, 5.1, -60.0 - (120 - back) / 4)
    node.tell(box, seconds - 2, EventKind.RADIO_LOST, interface="wlan0", reason=4)
    node.go(box, seconds, "network", "timed_out", last_message_age_s=2.0)
    day.count(seconds + 1, 8, 7)
    box.ended = (("side", "path"), ("phase", "session"), ("cause", "path_timeout"), ("code", 110))
    node.come(box, seconds + 45, proxy=proxy)
    node.send(box, seconds + 46)
    day.opened[1] += 1
    day.count(seconds + 46, 8, 8)


def _proxy(day: Day, seconds: float) -> None:
    """The proxy in front of one node dies; its gateways come back through it once it is up."""
    behind = [one for one in day.boxes if one[2] == PROXIES[0]]
    for place, (node, box, proxy) in enumerate(behind):
        node.go(box, seconds + place / 100, "network", "reset", last_message_age_s=0.4)
        box.ended = (("side", "peer"), ("phase", "session"), ("cause", "reset"), ("code", 104))
        node.tell(
            box, seconds + 1, EventKind.CONNECT_FAILED,
            side="peer", phase="tcp", cause="refused", code=111, text="Connection refused",
        )  # fmt: skip
        node.come(box, seconds + 12 + place / 3, proxy=proxy)
        node.send(box, seconds + 13 + place / 3)
        day.opened[0] += 1
    day.opened[0] -= 8
    day.count(seconds + 0.5, 0, 8)
    day.opened[0] += 8
    day.count(seconds + 16, 8, 8)


def _drain(day: Day, seconds: float) -> None:
    """Node b is stopped for a deploy."""
    node = day.nodes[1]
    node.note(seconds - 1, "centre_stopping")
    for place, (_, box, proxy) in enumerate(one for one in day.boxes if one[0] is node):
        node.go(box, seconds + place / 10, "centre", "draining")
        box.ended = (("side", "peer"), ("phase", "session"), ("cause", "peer_stopped"))
        node.come(box, seconds + 20 + place, proxy=proxy)
        day.opened[1] += 1
    node.note(seconds + 10, "centre_started")
    day.opened[1] -= 8
    day.count(seconds + 1, 8, 0)
    day.opened[1] += 8
    day.count(seconds + 40, 8, 8)


def _silent(day: Day, seconds: float) -> None:
    """A session ends without a word, and neither side knows why."""
    node, box, proxy = day.boxes[12]
    node.go(box, seconds, "network", "end_of_stream", last_message_age_s=3.0)
    box.ended = (("side", "unknown"), ("phase", "session"), ("cause", "eof"))
    node.come(box, seconds + 4, proxy=proxy)
    day.opened[0] += 1
    day.count(seconds + 5, 8, 8)


def _away(day: Day, seconds: float) -> None:
    """A gateway is lost and has not come back."""
    node, box, _ = day.boxes[7]
    node.go(box, seconds, "network", "timed_out", last_message_age_s=48.0)
    day.count(seconds + 1, 8, 7)


def span() -> tuple[int, int]:
    """Return the day's first and last instant."""
    return at(FROM_S), at(TO_S)

"""A host made of files and of written-down answers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gateway.agent.probes import Probes
from gateway.process.clock import Clock, HostFiles
from tests.host.golden import netlink_messages


class SetClock(Clock):
    """Clocks that stand until they are moved."""

    def __init__(self, boottime_s: float = 100.0, wall_s: float = 1_800_000_000.0) -> None:
        self.boottime_s = boottime_s
        self.wall_s = wall_s

    def now(self) -> float:
        return self.boottime_s

    def boottime_ns(self) -> int:
        return round(self.boottime_s * 1e9)

    def wall_ns(self) -> int:
        return round(self.wall_s * 1e9)

    def pass_s(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.boottime_s += seconds
        self.wall_s += seconds


class SilentNetlink:
    """A kernel without generic netlink."""

    def ask(self, request: bytes, is_end: Callable[[bytes], bool]) -> list[bytes]:
        return []

    def subscribe(self, group: int) -> None:
        """Nothing ever comes."""

    def pending(self) -> list[bytes]:
        return []

    def close(self) -> None:
        """Nothing to close."""


class RecordedNetlink(SilentNetlink):
    """Answers each golden request with the golden messages that belong to it."""

    def __init__(self) -> None:
        golden = netlink_messages()
        self.requests: list[bytes] = []
        self.groups: list[int] = []
        self.news: list[bytes] = []
        self.mute = False
        self.signal_dbm = -67
        self._station = golden["new_station"]
        self._answers: dict[int, list[bytes]] = {
            3: [golden["new_family"]],
            5: [golden["new_interface"], golden["done"]],
            17: [golden["new_station"], golden["done"]],
        }

    def ask(self, request: bytes, is_end: Callable[[bytes], bool]) -> list[bytes]:
        self.requests.append(request)
        if self.mute:
            return []
        answers = []
        for answer in self._answers[request[16]]:
            if answer == self._station:
                old = bytes([5, 0, 7, 0, 0xBD])
                answer = answer.replace(old, old[:4] + bytes([self.signal_dbm % 256]))
            # The kernel gives back the number of the question.
            answer = answer[:8] + request[8:12] + answer[12:]
            answers.append(answer)
            if is_end(answer):
                return answers
        raise AssertionError("the answer's end was not known")

    def subscribe(self, group: int) -> None:
        self.groups.append(group)

    def pending(self) -> list[bytes]:
        news, self.news = self.news, []
        return news


def probes(
    root: Path,
    firmware: Mapping[str, bytes] | None = None,
    programs: Mapping[tuple[str, ...], bytes] | None = None,
    netlink: SilentNetlink | None = None,
) -> Probes:
    """Return the seams over a directory and tables of answers; what is in no table is absent."""
    replies, outputs = firmware or {}, programs or {}

    def program(arguments: Sequence[str], timeout_s: float) -> bytes | None:
        return outputs.get(tuple(arguments))

    return Probes(HostFiles(root), netlink or SilentNetlink(), replies.get, program)


def write(root: Path, files: Mapping[str, bytes | str]) -> None:
    """Write host files below `root`."""
    for name, data in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)

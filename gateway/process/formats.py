"""The serial formats there are: ours, and those that installed packages add.

Owns the entry points of the group ``gateway.serial_formats``: found by name, imported when a config
asks for one. A package that cannot be imported is said to the config check, never raised. Our own
formats cannot be replaced.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from gateway.config.serial import Unavailable
from gateway.serial.builtin import BUILT_IN
from gateway.serial.format import Format

if TYPE_CHECKING:  # 2.5 MiB that a site without such a package need not spend
    from importlib.metadata import EntryPoint, EntryPoints

GROUP = "gateway.serial_formats"
_NEEDED = ("OPTIONS", "FIELDS", "group", "feed", "timer_at", "reset", "in_hand")


class InstalledFormats(Mapping[str, type[Format] | Unavailable]):
    """Every format by name; entry points are looked for when a name is not one of ours, and loaded
    when they are asked for."""

    def __init__(self, points: "EntryPoints | None" = None) -> None:
        self._given = points
        self._loaded: dict[str, type[Format] | Unavailable] = {}

    @cached_property
    def _points(self) -> "dict[str, EntryPoint]":
        from importlib.metadata import entry_points

        found = entry_points(group=GROUP) if self._given is None else self._given
        return {point.name: point for point in found if point.name not in BUILT_IN}

    def __getitem__(self, name: str) -> type[Format] | Unavailable:
        if name in BUILT_IN:
            return BUILT_IN[name]
        if name not in self._loaded:
            self._loaded[name] = _load(self._points[name])
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        yield from BUILT_IN
        yield from self._points

    def __len__(self) -> int:
        return len(BUILT_IN) + len(self._points)

    def __contains__(self, name: object) -> bool:
        return name in BUILT_IN or name in self._points


def _load(point: "EntryPoint") -> type[Format] | Unavailable:
    package = point.dist.name if point.dist is not None else point.module.partition(".")[0]
    try:
        loaded: type[Format] = point.load()
    except ImportError as error:
        missing = error.name or str(error)
        if point.extras:
            extra = ",".join(point.extras)
            return Unavailable(
                f'found "{point.name}", which needs {missing}, not installed',
                f'install the extra: pip install "{package}[{extra}]"',
            )
        return Unavailable(
            f'found "{point.name}", whose package {package} cannot be imported ({missing})',
            f"install what it needs: pip install --upgrade {package}",
        )
    except Exception as error:  # noqa: BLE001 - a stranger's module: its mistake is told as a problem
        return Unavailable(
            f'found "{point.name}", whose package {package} fails: {error!r}',
            "update or remove that package",
        )
    lacking = [name for name in _NEEDED if not hasattr(loaded, name)]
    if lacking or not isinstance(loaded, type):
        return Unavailable(
            f'found "{point.name}" of package {package}: it is no format ({", ".join(lacking)} '
            "missing)",
            "see docs/serial.md for what a format must have",
        )
    return loaded

"""What a changed config touches: which parts of the agent a reload restarts.

Owns the comparison of two settings, as a whole and key by key; never restarts anything. Used at
SIGHUP: the link, the spool and the buses that did not change are left alone.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.config.agent import AgentSettings
from gateway.config.serial import SerialSettings


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs. Buses and serial sources go by name: `removed` stop, `added` start, `changed`
    do both; `serial` says which of the names are serial sources.

    `spool` and `identity` (gateway id, state directory, control socket) need a restart of the
    daemon: a spool is opened once in its life.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    serial: frozenset[str] = frozenset()
    uplink: bool = False
    metrics: bool = False
    labels: bool = False
    host: bool = False
    log_level: bool = False
    spool: bool = False
    identity: bool = False

    def __bool__(self) -> bool:
        return self != Changes()

    @property
    def needs_restart(self) -> bool:
        """Whether something changed that a running daemon cannot take over."""
        return self.spool or self.identity

    def __str__(self) -> str:
        words = [f"{self._kind(name)} starts" for name in self.added]
        words += [f"{self._kind(name)} stops" for name in self.removed]
        words += [f"{self._kind(name)} restarts" for name in self.changed]
        words += ["the uplink reconnects"] if self.uplink or self.labels else []
        words += ["the host readings restart"] if self.host else []
        words += ["the metrics listener restarts"] if self.metrics else []
        words += ["the log level changes"] if self.log_level else []
        words += ["[spool] takes effect at the next start of the daemon"] if self.spool else []
        words += ["[gateway] takes effect at the next start of the daemon"] if self.identity else []
        return "; ".join(words) or "nothing changes"

    def _kind(self, name: str) -> str:
        return f"serial {name}" if name in self.serial else f"bus {name}"


def diff(old: AgentSettings, new: AgentSettings) -> Changes:
    """Compare the running settings with new ones. The order of buses does not matter."""
    before = {one.name: one for one in old.units}
    after = {one.name: one for one in new.units}
    added = tuple(name for name in after if name not in before)
    removed = tuple(name for name in before if name not in after)
    changed = tuple(name for name, bus in after.items() if name in before and before[name] != bus)
    touched = {*added, *removed, *changed}
    return Changes(
        added,
        removed,
        changed,
        # By what it becomes: a name can go from a bus to a serial source.
        serial=frozenset(
            name
            for name in touched
            if isinstance(after.get(name, before.get(name)), SerialSettings)
        ),
        uplink=old.uplink != new.uplink,
        metrics=old.metrics != new.metrics,
        labels=old.labels != new.labels,
        host=old.host != new.host,
        log_level=old.log_level != new.log_level,
        spool=old.spool != new.spool,
        identity=(old.gateway_id, old.state_directory, old.control)
        != (new.gateway_id, new.state_directory, new.control),
    )


SECRET = frozenset({"proxy"})
"""Keys whose values are never shown: a proxy's may hold a password."""
NOT_SHOWN = frozenset({"revision", "format_type"})


def details(old: AgentSettings, new: AgentSettings) -> tuple[str, ...]:
    """Return what differs key by key, ``bus[b1].device[meter].poll_interval_s: 1 → 2``.

    A table with a name is compared with the one of that name.
    """
    return tuple(_differences("", old, new))


def _differences(key: str, old: object, new: object) -> Iterator[str]:
    if old == new:
        return
    if dataclasses.is_dataclass(old) and type(old) is type(new):
        for one in dataclasses.fields(old):
            if one.name not in NOT_SHOWN:
                below = _joined(key, _plain(one.name))
                yield from _differences(below, getattr(old, one.name), getattr(new, one.name))
        return
    if isinstance(old, tuple) and isinstance(new, tuple) and _named(old) and _named(new):
        yield from _in_list(key, old, new)
        return
    secret = key.rpartition(".")[2] in SECRET
    yield f"{key}: changed" if secret else f"{key}: {_shown(old)} → {_shown(new)}"


def _in_list(key: str, old: tuple[object, ...], new: tuple[object, ...]) -> Iterator[str]:
    """Compare tables by name; what changed alike in several is said once."""
    before = {_name(one): one for one in old}
    after = {_name(one): one for one in new}
    alike: dict[str, list[str | None]] = {}
    for name, one in before.items():
        if name not in after:
            alike.setdefault(": removed", []).append(name)
            continue
        for difference in _differences("", _value(one), _value(after[name])):
            alike.setdefault(difference, []).append(name)
    alike[": added"] = [name for name in after if name not in before]
    for difference, names in alike.items():
        if names:
            which = ", ".join(map(str, names[:4])) + (f", … {len(names)}" if names[4:] else "")
            yield f"{key}[{which}]{'' if difference.startswith(':') else '.'}{difference}"


def _joined(key: str, name: str) -> str:
    return f"{key}.{name}" if key and name else key or name


def _plain(name: str) -> str:
    """Return a field's name as the file spells it; "" for one that the file does not have."""
    words = {"buses": "bus", "devices": "device", "points": "point", "gateway_id": "gateway.id"}
    words |= {"spec": "", "serials": "serial", "holes": "hole"}
    return words.get(name, name)


def _named(values: tuple[object, ...]) -> bool:
    return all(_name(value) is not None for value in values)


def _name(value: object) -> str | None:
    """Return the name of a table, or of a pair (a label)."""
    if isinstance(value, tuple):
        return value[0] if len(value) == 2 and isinstance(value[0], str) else None
    name = getattr(getattr(value, "spec", value), "name", None)
    return name if dataclasses.is_dataclass(value) and isinstance(name, str) else None


def _value(one: object) -> object:
    return one[1] if isinstance(one, tuple) else one


def _shown(value: object) -> str:
    if value in (None, (), ""):
        return "not given"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"

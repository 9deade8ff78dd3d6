"""The formats that come with the gateway, by the name a config gives them.

Each is loaded when it is asked for: most sites have none.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module

from gateway.serial.format import Format

_PLACES = {
    "delimited": ("gateway.serial.delimited", "Delimited"),
    "json": ("gateway.serial.jsonlines", "JsonLines"),
    "nmea": ("gateway.serial.nmea", "Nmea"),
    "regex": ("gateway.serial.pattern", "Pattern"),
    "vedirect": ("gateway.serial.vedirect", "VeDirect"),
}


class _BuiltIn(Mapping[str, type[Format]]):
    def __getitem__(self, name: str) -> type[Format]:
        module, attribute = _PLACES[name]
        kind: type[Format] = getattr(import_module(module), attribute)
        return kind

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)

    def __contains__(self, name: object) -> bool:
        return name in _PLACES


BUILT_IN: Mapping[str, type[Format]] = _BuiltIn()

"""The formats that come with the gateway, by the name a config gives them."""

from gateway.serial.delimited import Delimited
from gateway.serial.format import Format
from gateway.serial.jsonlines import JsonLines
from gateway.serial.nmea import Nmea
from gateway.serial.pattern import Pattern

BUILT_IN: dict[str, type[Format]] = {
    "delimited": Delimited,
    "json": JsonLines,
    "nmea": Nmea,
    "regex": Pattern,
}

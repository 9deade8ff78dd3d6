"""What lines of each text format mean, and what is none of them."""

import pytest

from gateway.serial.builtin import BUILT_IN
from gateway.serial.format import LineFormat, OptionError, Options, OptionValue
from gateway.serial.framing import Framing
from gateway.serial.line import Fault, FaultKind, Field, Line
from tests.serial.sources import EXAMPLES, Example


def lines(name: str, data: bytes, **options: OptionValue) -> list[dict[str, Field] | FaultKind]:
    """Return what a format makes of bytes that begin at a line's beginning."""
    kind = BUILT_IN[name]
    made = kind(Options.of(kind.OPTIONS, options))
    made.reset(0.0, in_step=True)
    found: list[Line | Fault] = made.feed(data, 1.0)
    return [dict(one.fields) if isinstance(one, Line) else one.kind for one in found]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.name)
def test_valid_lines_are_read(example: Example) -> None:
    """Every point of every example gives the value written into the line."""
    source = example.source()
    before = sum(source.counters.faults.values())
    source.receive(example.end, 1.0)
    for number in (0, 1, 999, 2999):
        source.receive(example.line(number), 2.0)
        (row,) = source.rows()
        assert row.values == example.values(number) and row.causes is None
    assert (
        sum(source.counters.faults.values()) <= before + 1
    )  # the end in front, where there is a start


def test_delimited() -> None:
    """Fields by position, unnamed ones left out, blanks around them ignored."""
    three = ("a", "", "c")
    assert lines("delimited", b"1, x , 0 \r\n", fields=three) == [{"a": "1", "c": "0"}]
    assert lines("delimited", b"1,2\n1,2,3,4\n,,\n", fields=three) == [
        FaultKind.FORMAT,
        FaultKind.FORMAT,
        {"a": "", "c": ""},
    ]
    assert lines("delimited", b"  1   2 3\n", fields=three, delimiter=" ", merge=True) == [
        {"a": "1", "c": "3"}
    ]
    assert lines("delimited", b"1,\x002,3\n1,\xff,3\n", fields=three)[0] is FaultKind.FORMAT


def test_a_ups_in_the_megatec_way() -> None:
    """Start, end and number of fields are all that protocol has."""
    fields = ("input", "fault", "output", "load", "frequency", "battery", "temperature", "bits")
    (found,) = lines(
        "delimited",
        b"Q1\r(208.4 140.0 208.4 034 59.9 2.05 35.0 00110000\r",
        fields=fields,
        start="(",
        end="\r",
        delimiter=" ",
    )[1:]
    assert isinstance(found, dict)
    assert found["input"] == "208.4" and found["load"] == "034" and found["bits"] == "00110000"


def test_pattern() -> None:
    """The expression must match the whole line; a group that took no part is not available."""
    pattern = r"ST,(?:GS|NT),(?P<weight>[+-]\d+\.\d)(?P<unit>kg|g)?"
    data = b"ST,GS,+00012.3kg\r\nUS,GS,+00012.3kg\r\nxST,GS,+00012.3kg\r\nST,NT,-1.0\r\n"
    assert lines("regex", data, pattern=pattern) == [
        {"weight": "+00012.3", "unit": "kg"},
        FaultKind.FORMAT,
        FaultKind.FORMAT,
        {"weight": "-1.0", "unit": None},
    ]


def test_a_modem_among_other_lines() -> None:
    """What is not the answer is a fault, the answer a line."""
    data = b"AT+CSQ\r\r\n+CREG: 1\r\n\r\n+CSQ: 18,99\r\n\r\nOK\r\n"
    found = lines("regex", data, pattern=r"\+CSQ: (?P<rssi>\d+),(?P<ber>\d+)")
    assert {"rssi": "18", "ber": "99"} in found
    assert found.count(FaultKind.FORMAT) == 3


def test_json() -> None:
    """Paths into objects and lists; what is not strict JSON is none."""
    data = b'{"a": 0, "b": {"c": [1, null, "x"]}, "d": true}\n'
    assert lines("json", data) == [
        {"a": 0, "b.c.0": 1, "b.c.1": None, "b.c.2": "x", "d": True},
    ]
    wrong = [
        *(b"[1]", b"1", b'"x"', b"{", b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1, "a": 2}'),
        *(b'{"a": 01}', b"{'a': 1}", b'{"a": "\xff"}', b"[" * 900, b'{"a":' * 150),
        b'{"a":' + b"9" * 1000 + b"}x",
    ]
    for text in wrong:
        assert lines("json", text + b"\n") == [FaultKind.FORMAT], text
    deep = b'{"a":' * 800 + b"1" + b"}" * 800
    assert lines("json", deep + b"\n", max_length=4096) in (
        [FaultKind.FORMAT],
        [FaultKind.TOO_LONG],
    )


def test_json_of_more_than_one_shape() -> None:
    """Each field is by itself where lines differ, all together where they do not."""
    kind = BUILT_IN["json"]
    same, mixed = (kind(Options.of(kind.OPTIONS, {"mixed": flag})) for flag in (False, True))
    assert same.group("a") == same.group("b") and mixed.group("a") != mixed.group("b")


GGA = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n"


def seal(text: bytes) -> bytes:
    """Return a sentence with its check sum."""
    total = 0
    for byte in text:
        total ^= byte
    return b"$%s*%02X\r\n" % (text, total)


def test_nmea() -> None:
    """The sentence every description shows; positions in signed degrees, fields by number too."""
    (found,) = lines("nmea", GGA)
    assert isinstance(found, dict)
    assert found["GGA.latitude"] == pytest.approx(48.1173)
    assert found["GGA.longitude"] == pytest.approx(11.516667)
    assert found["GGA.altitude"] == "545.4" == found["GGA.9"]
    assert found["GGA.satellites"] == "08"
    (south,) = lines("nmea", seal(b"GNGLL,3351.000,S,15112.600,W,001031.00,A,A"))
    assert isinstance(south, dict)
    assert south["GLL.latitude"] == pytest.approx(-33.85)
    assert south["GLL.longitude"] == pytest.approx(-151.21)


def test_nmea_says_when_it_does_not_know() -> None:
    """A receiver without a fix repeats its last position: marked void, that is no reading."""
    void = seal(b"GPRMC,225446,V,4916.45,N,12311.12,W,000.5,054.7,191194,020.3,E")
    (found,) = lines("nmea", void)
    assert isinstance(found, dict)
    assert found["RMC.latitude"] is None and found["RMC.speed"] is None
    assert found["RMC.7"] == "000.5"
    (empty,) = lines("nmea", seal(b"GPGLL,,,,,,A,A"))
    assert isinstance(empty, dict) and empty["GLL.latitude"] is None
    (lost,) = lines("nmea", seal(b"GPGGA,1,4807.038,N,01131.000,E,0,00,,,M,,M,,"))
    assert isinstance(lost, dict)
    assert lost["GGA.latitude"] is None and lost["GGA.quality"] == "0"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (GGA.replace(b"*47", b"*48"), FaultKind.CHECKSUM),
        (GGA.replace(b"*47", b""), FaultKind.CHECKSUM),
        (b"$\r\n", FaultKind.CHECKSUM),
        (seal(b""), FaultKind.FORMAT),
        (seal(b"hello"), FaultKind.FORMAT),
        (seal(b"IIMWV,20.0,IIMWV,75.0,R,7.5,N,A"), FaultKind.FORMAT),
        (seal(b"IIMWV,20.0,R"), FaultKind.FORMAT),
        (seal(b"IIHDT,20$0,T"), FaultKind.FORMAT),
        (seal(b"GPGG\xff,1"), FaultKind.FORMAT),
        (seal(b"GPG\x00A,1"), FaultKind.FORMAT),
        (GGA.rstrip() + b"\n", None),
    ],
)
def test_nmea_refuses(data: bytes, found: FaultKind | None) -> None:
    """Wrong or missing sums, and what is no address."""
    (one,) = lines("nmea", data)
    assert one is found if found else isinstance(one, dict)


def test_nmea_oddities() -> None:
    """A wrong position is no number; another talker is passed over; makers' own are read."""
    (odd,) = lines("nmea", seal(b"GPGGA,1,48x7.038,N,01131.000,Q,1,08,,,M,,M,,"))
    assert isinstance(odd, dict)
    assert odd["GGA.latitude"] == "48x7.038 N" and odd["GGA.longitude"] == "01131.000 Q"
    assert lines("nmea", GGA, talker="GL") == [{}]
    (own,) = lines("nmea", seal(b"PGRMZ,246,f,3"))
    assert isinstance(own, dict) and own["PGRMZ.1"] == "246"


@pytest.mark.parametrize(
    ("field", "group"),
    [
        ("GGA.altitude", "GGA"),
        ("GGA.latitude", "GGA"),
        ("XDR.2", "XDR"),
        ("PGRMZ.1", "PGRMZ"),
        ("GGA.height", None),
        ("MWV.latitude", None),
        ("GGA", None),
        ("GGA.0", None),
        ("gga.1", None),
    ],
)
def test_nmea_fields(field: str, group: str | None) -> None:
    """Known names, and numbers of any sentence."""
    kind = BUILT_IN["nmea"]
    assert kind(Options.of(kind.OPTIONS, {})).group(field) == group


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("delimited", {"fields": ("a",), "delimiter": ""}, "delimiter"),
        ("delimited", {"fields": ("a", "a")}, "fields: a name stands twice"),
        ("delimited", {"fields": ("a",), "check_mark": "*"}, "without a check sum"),
        ("delimited", {"fields": ("a",), "start": "\n"}, "the same as end"),
        ("delimited", {"fields": ("a",), "start": "ab", "max_length": 3}, "max_length"),
        ("regex", {"pattern": "x"}, "names no field"),
        ("regex", {"pattern": "(?P<a>"}, "no regular expression"),
        ("regex", {"pattern": "(?P<a>(x+)+)y"}, "max_length = 256"),
    ],
)
def test_options_that_do_not_go_together(
    name: str, options: dict[str, OptionValue], message: str
) -> None:
    """Each is told by its option, with a cure."""
    kind = BUILT_IN[name]
    with pytest.raises(OptionError, match=message):
        kind(Options.of(kind.OPTIONS, options))


class Unfinished(LineFormat):
    """A format whose maker forgot `read`."""

    def framing(self, options: Options) -> Framing:
        return Framing()


def test_a_format_must_say_what_a_line_means() -> None:
    """What was left out is told when the first line comes."""
    made = Unfinished(Options())
    made.reset(0.0, in_step=True)
    assert made.group("x") is None
    with pytest.raises(NotImplementedError):
        made.feed(b"1\n", 1.0)

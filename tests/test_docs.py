"""Pins that what the code offers appears in the docs, and that what the docs show works."""

import re
import subprocess
import tomllib
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

import pytest

import gateway
from gateway.agent.faults import FaultCause, Phase
from gateway.agent.faults import Side as AgentSide
from gateway.centre.ending import EndCause
from gateway.centre.ending import Side as CentreSide
from gateway.cli.main import VERBS
from gateway.config import agent, centre
from gateway.config.document import Section
from gateway.config.profile import Profile, parse_profile
from gateway.correlation.verdict import Cause as LossCause
from gateway.correlation.verdict import HeldBy
from gateway.event import EventKind
from gateway.reading import Cause, Quality
from gateway.serial.builtin import BUILT_IN
from gateway.wire.message import ByeCode, ClockSource, Encoding, Lane, MessageType, NackCode
from gateway.wire.record import RecordKind

ROOT = Path(__file__).resolve().parents[1]
NOT_OURS = {".venv", "build", "dist", "node_modules", ".git", ".pytest_cache", ".hypothesis"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part in NOT_OURS or part.startswith(".venv") for part in path.parts)
)
OPERATIONS = ROOT / "docs/operations.md"
PROTOCOL = ROOT / "docs/protocol.md"
CENTRE = ROOT / "docs/centre.md"
GATEWAY = Path(gateway.__file__).parent


def _text(*paths: Path) -> str:
    return "\n".join(path.read_text("utf-8") for path in paths)


def _code_words(text: str) -> set[str]:
    """Return the words that stand in backticks or in fenced blocks."""
    quoted = " ".join(re.findall(r"`([^`]+)`", text.replace("```", "`")))
    return set(re.findall(r"[A-Za-z_][A-Za-z0-9_.]*", quoted))


def _tracked() -> list[Path]:
    """Return the repository's text files; outside a checkout (the wheel's tests) what is there."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return PAGES
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_readme_names_the_two_commands() -> None:
    """A newcomer finds both commands."""
    text = _text(ROOT / "README.md")
    assert "make demo" in text
    assert "make test" in text


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_is_described(verb: str) -> None:
    """Each verb of the command appears in the README or the docs as it is typed."""
    assert f"gateway {verb}" in _text(*PAGES)


@pytest.mark.parametrize("kind", sorted(EventKind))
def test_every_event_kind_is_described(kind: EventKind) -> None:
    """Operators can look every event up."""
    assert f"`{kind.value}`" in _text(OPERATIONS)


@pytest.mark.parametrize("word", sorted({*FaultCause, *Phase, *AgentSide}))
def test_every_word_of_a_connection_is_described(word: str) -> None:
    """Why a connection was not made or ended, as the agent puts it into events and labels."""
    assert f"`{word}`" in _text(OPERATIONS)


@pytest.mark.parametrize("word", sorted({*EndCause, *CentreSide}))
def test_every_ending_is_described(word: str) -> None:
    """Why a connection ended, as the centre puts it into its store and labels."""
    assert f"`{word}`" in _text(OPERATIONS, CENTRE)


@pytest.mark.parametrize("word", sorted({*LossCause, *HeldBy}))
def test_every_verdict_is_described(word: str) -> None:
    """Why a gateway was lost and held, as reports and metrics say it."""
    assert f"`{word}`" in _text(OPERATIONS).split("## Why a gateway was lost", 1)[1]


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_is_described(cause: Cause) -> None:
    """Operators can look every cause up; integrators find its number."""
    assert f"`{cause.name.lower()}`" in _text(OPERATIONS)
    _assert_number_and_name(_text(PROTOCOL), cause)


@pytest.mark.parametrize(
    "member",
    [
        member
        for enum in (
            MessageType,
            Lane,
            Encoding,
            NackCode,
            ByeCode,
            ClockSource,
            RecordKind,
            Quality,
        )
        for member in enum
    ],
    ids=str,
)
def test_every_number_of_the_protocol_is_described(member: Enum) -> None:
    """A stranger finds each number of the wire, on the line of its name."""
    _assert_number_and_name(_text(PROTOCOL), member)


def _close_codes() -> list[str]:
    """Return the WebSocket close codes that stand in the code of both sides."""
    rooms = [GATEWAY / "wire", GATEWAY / "centre", GATEWAY / "agent"]
    text = _text(*(path for room in rooms for path in sorted(room.glob("*.py"))))
    codes = set(re.findall(r"\b10(?:0\d|1[0-5])\b", text))
    return sorted(codes - {"1005", "1006"})  # RFC 6455 §7.4.1: never sent


@pytest.mark.parametrize("code", _close_codes())
def test_every_close_code_is_described(code: str) -> None:
    """Whatever a side closes with, or judges, a stranger can look up."""
    assert code in _text(PROTOCOL, OPERATIONS)


def _assert_number_and_name(text: str, member: Enum) -> None:
    name = member.name.lower().replace("_", "[_ -]?")
    lines = [line for line in text.splitlines() if re.search(rf"(?i)\b{name}\b", line)]
    assert any(re.search(rf"\b(0x0*{member.value:x}|{member.value})\b", line) for line in lines), (
        f"docs/protocol.md has no line with {member.name} and {member.value}"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    """Every relative link leads to a file that is there, and every #anchor to a heading."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"
        if anchor and other.suffix == ".md":
            assert anchor in _anchors(other), f"{page.relative_to(ROOT)}: no heading for #{anchor}"


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, made as GitHub makes them."""
    headings = re.findall(r"(?m)^#+\s+(.*)$", page.read_text("utf-8"))
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {re.sub(r"\s", "-", heading.strip()) for heading in plain}


def test_no_path_of_somebodys_machine() -> None:
    """Nothing tracked names a path that exists on one machine only."""
    somebodys = re.compile(r"(?<![\w.])/(?:work|home/[a-z]+|Users|root/(?!\.pyenv))/")
    for path in _tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        if path == Path(__file__).resolve():
            continue
        found = somebodys.search(text)
        assert not found, f"{path.relative_to(ROOT)} names {found and found.group()}"


def test_every_decision_is_listed() -> None:
    """The index of decisions leads to every page."""
    index = _text(ROOT / "docs/decisions/README.md")
    for page in (ROOT / "docs/decisions").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


def test_every_page_is_in_the_index() -> None:
    """The index of the docs leads to every page of docs/ and config/."""
    index = _text(ROOT / "docs/README.md")
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / "config").glob("*.md")]:
        assert page == ROOT / "docs/README.md" or f"{page.name})" in index, page.name


def test_documents_say_what_they_are() -> None:
    """Each page of docs/ begins with what it is and what it is not."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        head = page.read_text("utf-8")[:1200].lower()
        assert "what this is" in head or "what it is" in head, page.name
        assert "not" in head, page.name


AGENT_FILE = """
[gateway]
id = "a"
[labels]
[uplink]
url = "wss://centre.example.net/gateway"
[spool]
[metrics]
[[bus]]
name = "b"
port = "/dev/ttyS0"
[[bus.device]]
name = "d"
unit_id = 1
[[bus.device.point]]
name = "p"
table = "input"
address = 0
type = "u16"
"""
SERIAL_FILE = """
[[serial]]
name = "s"
port = "/dev/ttyS1"
format = "{name}"
[serial.options]
[[serial.point]]
name = "p"
"""
CENTRE_FILE = """
[centre]
[tls]
certificate_file = "c"
[link]
[store]
[admin]
[web]
[drain]
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every key that a parser asks for while the test runs, as table.key."""
    keys: set[str] = set()
    close = Section.close

    def noting(section: Section) -> None:
        keys.update(section._asked)
        close(section)

    monkeypatch.setattr(Section, "close", noting)
    return keys


def test_every_key_of_the_agent_is_described(asked: set[str]) -> None:
    """What the agent's parser asks for stands in config/README.md, in backticks."""
    assert agent.parse(AGENT_FILE, "agent.toml", {}).settings is not None
    assert {"id", "url", "batch_s", "policy", "unit_id", "null_patterns"} <= asked
    for name in BUILT_IN:
        agent.parse(AGENT_FILE + SERIAL_FILE.format(name=name), "agent.toml", {})
    assert {"silent_after_s", "check_mark", "mixed", "decimal_comma"} <= asked
    assert asked - _code_words(_text(ROOT / "config/README.md")) == set()


def test_every_key_of_the_centre_is_described(asked: set[str]) -> None:
    """What the centre's parser asks for stands in config/centre.md, in backticks."""
    assert centre.parse(CENTRE_FILE, "centre.toml").settings is not None
    assert {"listen", "tokens_file", "retention_days"} <= asked
    assert asked - _code_words(_text(ROOT / "config/centre.md")) == set()


def _profiles() -> dict[str, Profile | None]:
    """Parse every profile of the repository; one with a problem is None."""
    return {
        path.stem: parse_profile(path.read_text("utf-8"), path.name, path.stem).settings
        for path in sorted((ROOT / "config/profiles").glob("*.toml"))
    }


def test_every_profile_parses() -> None:
    """No profile of the repository has a problem."""
    profiles = _profiles()
    assert profiles
    assert [name for name, profile in profiles.items() if profile is None] == []


def _examples() -> list[tuple[str, str]]:
    """Return (where, text) of every example config: files, and TOML blocks of the docs."""
    found = [
        (str(path.relative_to(ROOT)), path.read_text("utf-8"))
        for path in sorted((ROOT / "config").glob("*.toml"))
    ]
    for page in PAGES:
        blocks = re.findall(r"(?s)```toml\n(.*?)```", page.read_text("utf-8"))
        found += [(f"{page.relative_to(ROOT)}#{i}", text) for i, text in enumerate(blocks)]
    return found


@pytest.mark.parametrize(("where", "text"), _examples(), ids=[where for where, _ in _examples()])
def test_every_example_parses(where: str, text: str) -> None:
    """Each example of a whole file is valid; a fragment at least is TOML."""
    tables = tomllib.loads(text)
    problems: Sequence[object] = ()
    if "gateway" in tables and "uplink" in tables:
        problems = agent.parse(text, where, _profiles()).problems
    elif "centre" in tables:
        problems = centre.parse(text, where).problems
    assert [str(problem) for problem in problems] == []

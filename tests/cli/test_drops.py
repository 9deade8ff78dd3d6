"""Pins the command `gateway drops` as it is typed: stores, config, Prometheus, errors, statuses."""

import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import drops, drops_source
from gateway.cli.main import main
from tests import drops_history
from tests.centre.history import T0_NS, at
from tests.process.http_scripts import answer, serving

S = 1_000_000_000


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> drops_history.Day:
    """Six hours of two nodes in two stores."""
    return drops_history.play(tmp_path_factory.mktemp("day"))


class Told:
    """A clock that stands at the end of the day."""

    def wall_ns(self) -> int:
        return drops_history.span()[1]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let it be the end of the day, in a place with an offset."""
    monkeypatch.setattr(drops, "Clock", Told)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Type the command."""
    status = main(["drops", *map(str, words)])
    out, err = capsys.readouterr()
    return status, out, err


def both(day: drops_history.Day) -> list[object]:
    """Return the options for both stores."""
    first, second = day.stores
    return ["--store", first, "--store", second]


def listed(capsys: pytest.CaptureFixture[str], day: drops_history.Day, *words: object) -> Any:
    """Return the list as JSON."""
    status, out, err = run(capsys, *both(day), "--json", *words)
    assert (status, err) == (0, "")
    return json.loads(out)


def test_the_list(capsys: pytest.CaptureFixture[str], day: drops_history.Day) -> None:
    """The table has local times with their offset, and says how much was looked at."""
    status, out, err = run(capsys, *both(day), "--since", "6h")
    assert (status, err) == (0, "")
    head, *lines = out.splitlines()
    assert head.split() == ["id", "when", "lost", "lasted", "cause", "groups", "held", "by"]
    assert "2027-01-15 09:30:00+01:00" in lines[0]
    assert "looked at 16 gateways, 40 sessions in 2 stores, from 2027-01-15 09:00:00+01:00" in out
    assert "connections: the samples of 2 stores, summed, for the whole time" in out
    assert "\x1b" not in out


def test_every_loss_is_in_one_incident(
    capsys: pytest.CaptureFixture[str], day: drops_history.Day
) -> None:
    """Each session that ended is in exactly one incident, whichever form is asked for."""
    found = listed(capsys, day)
    lost = [(one["gateway"], one["session"]) for i in found["incidents"] for one in i["losses"]]
    assert len(lost) == len(set(lost)) == 6 + 1 + 8 + 8 + 1 + 1
    assert found["looked_at"]["stores"] == [str(path) for path in day.stores]
    drained = [one for one in found["incidents"] if one["cause"] == "centre_drained"]
    assert len(drained) == 1 and drained[0]["quiet"] and drained[0]["lost"] == 8
    away = [one for one in found["incidents"] if one["not_back"]]
    assert len(away) == 1 and away[0]["ended"] is None


def test_each_incident_has_its_cause(
    capsys: pytest.CaptureFixture[str], day: drops_history.Day
) -> None:
    """What happened to the two nodes' gateways is what is said of it, or *unknown* is."""
    found = {one["started_ns"]: one for one in listed(capsys, day)["incidents"]}
    causes = {(at_ns - T0_NS) // S: one["cause"] for at_ns, one in found.items()}
    assert causes == {
        1800: "power_cut",
        5400: "radio",
        9000: "proxy_failed",
        12600: "centre_drained",
        16200: "unknown",
        19800: "unknown",
    }
    feeder = found[at(1800)]
    assert {"kind": "feeder", "value": "north", "lost": 6, "of": 6} in feeder["groups"]
    assert feeder["held_by"] == {"down": 6} and feeder["drop"]["connections_bottom"] == 10
    assert found[at(19800)]["pending"] == 1
    blamed = [i for i in found.values() if i["cause"] in ("power_cut", "brown_out")]
    assert blamed == [feeder], "nobody else had evidence of the supply"


def test_one_store_of_two(capsys: pytest.CaptureFixture[str], day: drops_history.Day) -> None:
    """One node's store has that node's gateways only."""
    status, out, _ = run(capsys, "--store", day.stores[0])
    assert status == 0 and "looked at 8 gateways" in out and "in 1 store," in out


def test_a_time_without_anything(
    capsys: pytest.CaptureFixture[str], day: drops_history.Day
) -> None:
    """A quiet time is no error."""
    status, out, _ = run(capsys, *both(day), "--since", "50m", "--until", "45m")
    assert status == 0 and out.startswith("no incidents")


def test_show(capsys: pytest.CaptureFixture[str], day: drops_history.Day) -> None:
    """`show` tells the story of the incident that the list named, by its id or its beginning."""
    for one in listed(capsys, day)["incidents"]:
        status, out, err = run(capsys, "show", one["id"], *both(day))
        assert (status, err) == (0, ""), "found without naming the time: it stands in the id"
        assert out.startswith(one["id"])
        for title in ("timeline", "gateways", "to check on site"):
            assert f"\n{title}\n" in out
        assert all(loss["gateway"] in out for loss in one["losses"][:3])
    status, again, _ = run(capsys, *both(day), "show", one["id"][:-1], "--all")
    assert status == 0 and again.startswith(one["id"])
    status, out, _ = run(capsys, "show", one["id"], "--json", *both(day))
    told = json.loads(out)
    assert told["incident"]["id"] == one["id"] and told["incident"]["losses"][0]["proofs"]


def test_show_says_what_errors_mean(
    capsys: pytest.CaptureFixture[str], day: drops_history.Day
) -> None:
    """The error strings that both sides met are explained."""
    proxy = next(one for one in listed(capsys, day)["incidents"] if one["started_ns"] == at(9000))
    _, out, _ = run(capsys, "show", proxy["id"], *both(day))
    assert "ECONNRESET, Connection reset by peer (104) (8 gateways)" in out


def test_show_of_nothing(capsys: pytest.CaptureFixture[str], day: drops_history.Day) -> None:
    """An id that is not there is status 3, with the nearest ones."""
    status, out, err = run(capsys, "show", "20270115T093000-0000", *both(day))
    assert (status, out) == (3, "") and len(err.splitlines()) == 1
    assert "no such incident from" in err and "the nearest: " in err
    assert run(capsys, "show", "2", *both(day))[0] == 3, "a beginning of several"
    assert run(capsys, "show", "20279999T999999-0", *both(day))[0] == 3


def test_the_report_is_written(
    capsys: pytest.CaptureFixture[str], day: drops_history.Day, tmp_path: Path
) -> None:
    """--html writes the page, with the supply and the radio of those that fell; stdout stays."""
    file = tmp_path / "report.html"
    status, out, err = run(capsys, *both(day), "--since", "6h", "--html", file)
    assert status == 0 and out.startswith("id") and err.startswith(f"report: {file}, ")
    html = file.read_text("utf-8")
    assert "Supply and radio of site-00 before it was lost" in html
    assert "supply from 5.05 V to 4.50 V, at least 4.50 V; under-voltage first seen 20 s" in html
    assert "radio from -60 to -88 dBm" in html
    first = listed(capsys, day)["incidents"][0]["id"]
    status, out, _ = run(capsys, "show", first, "--json", "--html", file, *both(day))
    assert status == 0 and json.loads(out)["incident"]["id"] == first
    assert file.read_text("utf-8").count("<article") == 1


def test_a_report_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], day: drops_history.Day, tmp_path: Path
) -> None:
    """A place that cannot be written to is one line with the cure."""
    status, _, err = run(capsys, *both(day), "--html", tmp_path / "no/such/file.html")
    assert status == 1 and "cannot be written (No such file or directory)" in err


def test_the_store_of_the_config(
    capsys: pytest.CaptureFixture[str], day: drops_history.Day, tmp_path: Path
) -> None:
    """Without --store the centre's config says where the store is, relative to itself."""
    config = tmp_path / "centre.toml"
    store = os.path.relpath(day.stores[0], tmp_path)
    config.write_text(f'[centre]\nlisten = "127.0.0.1:1"\n[store]\npath = "{store}"\n')
    status, out, _ = run(capsys, "--config", config)
    assert status == 0 and "looked at 8 gateways" in out
    config.write_text("[centre]\nlisten = 7\n")
    status, _, err = run(capsys, "--config", config)
    assert status == 2 and "centre.toml:2" in err


def wrong_store(tmp_path: Path, kind: str) -> Path:
    """Return the path of something that is no store."""
    path = tmp_path / "store.sqlite"
    if kind == "directory":
        path.mkdir()
    elif kind == "text":
        path.write_text("not a database")
    elif kind == "empty":
        path.touch()
    elif kind == "other":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE t (x)")
        db.close()
    elif kind == "damaged":
        path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 8000)
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("none", "there is no such store; has the centre run here?"),
        ("directory", "is a directory"),
        ("text", "is no store of a centre"),
        ("empty", "is no store of a centre"),
        ("other", "not a store"),
        ("damaged", "cannot be read"),
    ],
)
def test_a_store_that_is_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str, said: str
) -> None:
    """What is no store is named with its path and what to do, in one line, status 1."""
    path = wrong_store(tmp_path, kind)
    status, out, err = run(capsys, "--store", path)
    assert (status, out) == (1, "") and len(err.splitlines()) == 1
    assert str(path) in err and said in err


def test_a_store_that_may_not_be_read(
    capsys: pytest.CaptureFixture[str], day: drops_history.Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the permission the cure is sudo or the centre's user."""

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(drops_source.os, "open", refuse)
    status, _, err = run(capsys, "--store", day.stores[0])
    assert status == 1 and "permission denied; use sudo" in err


def test_neither_store_nor_config(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """On a machine without a centre both ways to name the store are told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drops, "DEFAULT_CONFIG", tmp_path / "centre.toml")
        status, _, err = run(capsys)
    assert status == 2 and "--store FILE" in err and "--config FILE" in err
    status, _, err = run(capsys, "--config", tmp_path / "mine.toml")
    assert status == 2 and "mine.toml: cannot be read" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "yesterday"), "'yesterday' is no time"),
        (("--since", "1h", "--until", "2h"), "is not before --until"),
        (("--since", "2030-01-01"), "is not before --until"),
        (("--query", "up"), "add it"),
        (("--prometheus", "prometheus:9090"), "is no address"),
    ],
)
def test_options_that_cannot_be(
    capsys: pytest.CaptureFixture[str], day: drops_history.Day, words: tuple[str, ...], said: str
) -> None:
    """A wrong value is one line that says what is expected."""
    status, out, err = run(capsys, *both(day), *words)
    assert (status, out) == (1, "") and said in err and len(err.splitlines()) == 1


def test_since_before_there_was_time(
    capsys: pytest.CaptureFixture[str], day: drops_history.Day
) -> None:
    """A thousand years ago is not after now: everything is looked at."""
    status, out, err = run(capsys, *both(day), "--since", "400000d")
    assert (status, err) == (0, "") and "from 1970-01-01" in out


def test_wrong_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A command line that cannot be is status 2, as everywhere."""
    assert run(capsys, "list")[0] == 2
    assert run(capsys, "show")[0] == 2
    assert run(capsys, "--nonsense")[0] == 2


def scripted(active: list[int], opened: list[int]) -> Any:
    """Return a Prometheus that has a value each 15 s from the beginning of the day."""

    def script(connection: Any, target: str) -> None:
        url = urllib.parse.urlsplit(target)
        asked = {k: v[0] for k, v in urllib.parse.parse_qs(url.query).items()}
        query = asked["query"]
        stored = opened if "total" in query else [1] * len(active) if "up" in query else active
        begin = T0_NS // S
        if "[" in query:
            values = [[begin + 15 * n, str(v)] for n, v in enumerate(stored[:9])]
        else:
            first, last = float(asked["start"]), float(asked["end"])
            steps = range(round(first), round(last) + 1, round(float(asked["step"])))
            values = [
                [t, str(stored[(t - begin) // 15])]
                for t in steps
                if 0 <= (t - begin) // 15 < len(stored)
            ]
        result = [{"metric": {"instance": "a"}, "values": values}] if values else []
        body = json.dumps({"status": "success", "data": {"result": result}}).encode()
        answer(body)(connection, target)

    return script


def test_the_series_of_prometheus(
    capsys: pytest.CaptureFixture[str], day: drops_history.Day
) -> None:
    """The connections come from Prometheus, the evidence from the stores."""
    active = [16] * 1440
    active[120:135] = [10] * 15
    with serving(scripted(active, [16] * 1440)) as server:
        found = listed(capsys, day, "--prometheus", server.url, "--since", "6h")
    assert server.url in found["looked_at"]["series"]
    assert found["looked_at"]["samples"] == 1440
    assert len(found["incidents"]) == 6
    with serving(scripted(active, [16] * 1440)) as server:
        _, out, _ = run(capsys, *both(day), "--prometheus", server.url, "--since", "6h")
    assert "1 series, scraped every 15 s, read every 15 s, for the whole time" in out


def test_prometheus_that_fails(
    capsys: pytest.CaptureFixture[str], day: drops_history.Day, tmp_path: Path
) -> None:
    """A Prometheus that refuses is status 1 and one line; nothing is made up for it."""
    with serving(answer(b"{}", "401 Unauthorized")) as server:
        token = tmp_path / "token"
        token.write_text("s3cret\n")
        token.chmod(0o600)
        words = ("--prometheus", server.url, "--prometheus-token", token)
        status, out, err = run(capsys, *both(day), *words)
        assert "Authorization: Bearer s3cret" in server.heads[0]
    assert (status, out) == (1, "") and "HTTP 401" in err and "s3cret" not in err


def test_a_pipe_that_closes(day: drops_history.Day) -> None:
    """`gateway drops | head -1` ends without a traceback."""
    first, second = map(str, day.stores)
    command = [
        sys.executable, "-m", "gateway.cli.main", "drops", "--json", "--since", "2027-01-15",
        "--until", "2027-01-16", "--store", first, "--store", second,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    process.wait(30)
    assert b"Traceback" not in told

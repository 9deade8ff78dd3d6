"""The centre's file: defaults, the example, and problems with place and cure."""

from pathlib import Path

import pytest

from gateway.config.centre import CentreSettings, parse

EXAMPLE = Path(__file__).parents[2] / "config" / "centre.example.toml"


def test_an_empty_file_is_the_defaults() -> None:
    """Every key has a default; an open plain listener is warned about."""
    parsed = parse("", "c.toml")
    assert parsed.settings is not None
    assert parsed.settings == CentreSettings(revision=parsed.settings.revision)
    assert [warning.key for warning in parsed.warnings] == ["tls"]


def test_the_example_is_without_problem_or_warning() -> None:
    """config/centre.example.toml can be used as it stands."""
    parsed = parse(EXAMPLE.read_text(), "centre.example.toml")
    assert parsed.problems == () and parsed.warnings == ()
    assert parsed.settings is not None and parsed.settings.tls is not None


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[centre]\nlisten = 8443", "centre.listen", "address:port"),
        ('[centre]\nlisten = "0.0.0.0:99999"', "centre.listen", "address:port"),
        ("[centre]\nworkers = 0", "centre.workers", "from 1 to 64"),
        ("[centre]\nworkesr = 2", "centre.workesr", 'did you mean "workers"'),
        ("[stoer]\npath = 'x'", "stoer", 'did you mean "store"'),
        ("[tls]\nkey_file = 'k'", "tls.certificate_file", "add certificate_file"),
        ('[link]\ncompression = "gzip"', "link.compression", "deflate"),
        ("[link]\nmax_message_bytes = 10", "link.max_message_bytes", "65536"),
        ('[link]\nheartbeat_s = "30"', "link.heartbeat_s", "without quotes"),
        ("[link]\ntrusted_proxies = '10.0.0.1'", "link.trusted_proxies", "list"),
        ("[store]\nretention_bytes = 1000", "store.retention_bytes", "at least"),
        ("[admin]\ngateway_metrics = 1", "admin.gateway_metrics", "true or false"),
        ('[web]\nlisten = "0.0.0.0:9466"', "web.listen", "users_file"),
        ('[web]\nlisten = "[::]:9466"', "web.listen", "users_file"),
        ('[web]\nkey_file = "k"', "web.key_file", "give both"),
        ("[web]\nhosts = 'a'", "web.hosts", "list"),
        ("[drain]\ntimeout_s = -1", "drain.timeout_s", "from 0"),
        ("[centre]\npath = 'gateway'", "centre.path", "/gateway"),
    ],
)
def test_a_problem_names_line_key_and_cure(text: str, key: str, words: str) -> None:
    """One wrong key, one problem, on its line."""
    parsed = parse(text, "c.toml")
    assert parsed.settings is None
    assert [problem.key for problem in parsed.problems] == [key]
    assert words in parsed.problems[0].cure and parsed.problems[0].line >= 1


def test_every_problem_is_found_in_one_run() -> None:
    """Five mistakes give five problems."""
    text = """
[centre]
workers = "x"
paht = 1
[link]
heartbeat_s = -1
[store]
retention_days = true
[drain]
x = 1
"""
    assert len(parse(text, "c.toml").problems) == 5


def test_an_open_admin_listener_is_warned_about() -> None:
    """The API asks for no password."""
    parsed = parse('[centre]\nlisten = "127.0.0.1:1"\n[admin]\nlisten = "0.0.0.0:1"', "c.toml")
    assert [warning.key for warning in parsed.warnings] == ["admin.listen"]


def test_an_open_page_with_a_login_but_in_clear_is_warned_about() -> None:
    """Passwords must not travel in clear through a network."""
    text = '[centre]\nlisten = "127.0.0.1:1"\n[web]\nlisten = "0.0.0.0:1"\nusers_file = "u"'
    parsed = parse(text, "c.toml")
    assert [warning.key for warning in parsed.warnings] == ["web.certificate_file"]
    parsed = parse(f'{text}\ncertificate_file = "c"', "c.toml")
    assert parsed.warnings == () and parsed.settings is not None
    assert parsed.settings.web.users_file == "u"


def test_a_page_on_this_machine_needs_no_login() -> None:
    """The default is a loopback address, and so are these."""
    for listen in ("127.0.0.1:1", "localhost:1", "[::1]:1", ""):
        parsed = parse(f'[tls]\ncertificate_file = "c"\n[web]\nlisten = "{listen}"', "c.toml")
        assert parsed.problems == () and parsed.warnings == ()

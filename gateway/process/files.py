"""Config, profile and secret files: read, checked, with their problems.

Owns where profiles are found, which owner and mode a secret may have, and turning a file that
cannot be read into a problem with a cure. What a file *means* is `gateway.config`'s business. Never
logs, and never puts a secret into a message.
"""

import contextlib
import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import gateway
from gateway.config.agent import AgentSettings, UplinkSettings, parse
from gateway.config.document import MAX_BYTES
from gateway.config.problems import Parsed, Problem
from gateway.config.profile import Profile, parse_profile
from gateway.errors import ConfigError
from gateway.process.fit import overloads, too_much
from gateway.process.formats import InstalledFormats

LOCAL_PROFILES = Path("/etc/gateway/profiles")
TOKEN_BESIDE_CONFIG = "token"
"""Read when the config names neither a token nor a client certificate and this file is there."""
MAX_SECRET = 64 * 1024
DAEMON_USER = "gateway"
"""The user of the packaged unit (`systemd/gateway.sysusers.conf`)."""


def read_text(path: Path) -> str:
    """Return a text file's content. Raises: ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; give the path of one") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{path}: cannot be read ({reason}); check owner and mode") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; is it the right file?")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from None


def profile_directories(local: Path = LOCAL_PROFILES) -> tuple[Path, ...]:
    """Return where profiles are, the most particular first: the site's own, then ours."""
    package = Path(gateway.__file__).parent
    installed = package / "profiles"
    shipped = installed if installed.is_dir() else package.parent / "config" / "profiles"
    return local, shipped


class Profiles(Mapping[str, Profile | None]):
    """The profiles found, each read when it is asked for; ``None``: it has problems.

    A site's own profile stands before a shipped one of the same name. `problems` gathers those of
    the profiles asked for.
    """

    def __init__(self, directories: tuple[Path, ...]) -> None:
        self.problems: list[Problem] = []
        self.paths: dict[str, Path] = {}
        self._read: dict[str, Profile | None] = {}
        for directory in reversed(directories):
            try:
                found = sorted(directory.glob("*.toml"))
            except OSError:
                found = []
            self.paths.update({path.stem: path for path in found})

    def __getitem__(self, name: str) -> Profile | None:
        if name not in self._read:
            path = self.paths[name]
            try:
                parsed = parse_profile(read_text(path), str(path), name)
            except ConfigError as error:
                text = str(error).removeprefix(f"{path}: ")
                parsed = Parsed(None, (Problem(str(path), 0, 0, "", text, "or remove it"),))
            self.problems.extend(parsed.problems)
            self._read[name] = parsed.settings
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __contains__(self, name: object) -> bool:
        return name in self.paths


@dataclass(frozen=True, slots=True)
class SecretFile:
    """Whether a file may hold a secret. `fault` is ``None`` when it may; `missing`: not there."""

    path: Path
    missing: bool = False
    fault: str | None = None


def read_agent(
    path: Path,
    profiles: Profiles | None = None,
    name: str | None = None,
    base: Path | None = None,
) -> Parsed[AgentSettings]:
    """Read an agent's file with the profiles it names; problems of those profiles come with it.

    `name` is what messages call the file; `base` where its relative paths start, by default its
    directory.
    Paths in ``[uplink]`` come out absolute (relative ones start at the file's directory).
    Raises: ConfigError if the file itself cannot be read.
    """
    profiles = Profiles(profile_directories()) if profiles is None else profiles
    parsed = parse(
        read_text(path),
        str(path) if name is None else name,
        profiles,
        formats=InstalledFormats(),
    )
    if profiles.problems:
        problems = (*parsed.problems, *profiles.problems)
        return Parsed(None, problems, parsed.warnings)
    if parsed.settings is None:
        return parsed
    uplink = _with_paths(parsed.settings.uplink, base or path.absolute().parent)
    return replace(parsed, settings=replace(parsed.settings, uplink=uplink))


def load_agent(path: Path) -> AgentSettings:
    """Return an agent's settings. Raises: ConfigError with every problem, one a line."""
    parsed = read_agent(path)
    if parsed.settings is None:
        raise ConfigError("\n".join(str(problem) for problem in parsed.problems))
    excess = too_much(parsed.settings)
    if excess is not None:
        raise ConfigError(f"{path}: {excess[0]}; {excess[1]}")
    return parsed.settings


def load_changed(path: Path) -> AgentSettings:
    """Return the settings of a file that is to replace one which runs well.

    It has to pass what `gateway check` asks: a start is content with less, since readings that wait
    in the spool are better than none. Raises: ConfigError with every problem, one a line.
    """
    settings = load_agent(path)
    refused = [
        *overloads(settings),
        *(
            f"uplink.{key}: {file.path}: {file.fault}"
            for key, file in uplink_files(settings.uplink)
            if file.fault is not None and not file.missing
        ),
    ]
    if refused:
        raise ConfigError("\n".join(f"{path}: {text}" for text in refused))
    return settings


def _with_paths(uplink: UplinkSettings, base: Path) -> UplinkSettings:
    beside = base / TOKEN_BESIDE_CONFIG
    if uplink.token_file is None and uplink.certificate_file is None and beside.is_file():
        uplink = replace(uplink, token_file=str(beside))

    def absolute(name: str | None) -> str | None:
        return None if name is None else str(base / name)

    return replace(
        uplink,
        token_file=absolute(uplink.token_file),
        ca_file=absolute(uplink.ca_file),
        certificate_file=absolute(uplink.certificate_file),
        key_file=absolute(uplink.key_file),
    )


def uplink_files(uplink: UplinkSettings) -> Iterator[tuple[str, SecretFile]]:
    """Yield the files that [uplink] names with their keys; only secrets have a fault beside
    being missing."""
    for key in ("token_file", "key_file", "ca_file", "certificate_file"):
        file = getattr(uplink, key)
        if file is None:
            continue
        looked = check_secret(Path(file))
        if not looked.missing and key in ("ca_file", "certificate_file"):
            looked = replace(looked, fault=None)
        yield key, looked


def check_secret(path: Path) -> SecretFile:
    """Say whether a file may hold a secret: owner root or us, nothing for others."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return SecretFile(path, missing=True, fault="there is no such file")
    except OSError as error:
        return SecretFile(
            path, fault=f"cannot be looked at ({error.strerror}); check its directory"
        )
    return SecretFile(path, fault=_secret_fault(status))


def read_secret(path: Path) -> str:
    """Return the one line of a secret file. Raises: ConfigError, never with the content."""
    try:
        # A FIFO must be told, not waited for.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            fault = _secret_fault(os.fstat(file.fileno()))
            data = file.read(MAX_SECRET + 1) if fault is None else b""
    except OSError as error:
        raise ConfigError(
            f"{path}: the secret cannot be read ({error.strerror}); put it there, chmod 600"
        ) from None
    if fault is not None:
        raise ConfigError(f"{path}: {fault}")
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable() or len(data) > MAX_SECRET:
        raise ConfigError(f"{path}: not one line of printable characters; write the secret anew")
    return text


def _secret_fault(status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file; write the secret into a plain file"
    if not _may_own(status.st_uid):
        return f"belongs to user {status.st_uid}; chown it to root or to {DAEMON_USER}"
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o027:
        return f"mode {mode:04o} lets others in; chmod 600 (or 640 with the daemon's group)"
    return None


def _may_own(uid: int) -> bool:
    """Say whose file a secret may be: root's, ours, the daemon's (a technician checks too)."""
    if uid in (0, os.geteuid()):
        return True  # without asking the user database, whose modules cost the daemon 0.4 MiB
    with contextlib.suppress(KeyError):
        return uid == pwd.getpwnam(DAEMON_USER).pw_uid
    return False

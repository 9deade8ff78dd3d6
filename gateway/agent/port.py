"""A serial port: opened, locked, set up and waited for with a precision pyserial does not offer.

Owns the file descriptor of one port: exclusive use (flock and TIOCEXCL), VMIN=1 so that "nothing
yet" and a hang-up differ, the USB adapter's low latency, waiting with microseconds. Never knows
what the bytes mean.

Source: termios(3), ioctl_tty(2), Documentation/driver-api/serial; measured in
`docs/decisions/bus.md`.
"""

import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import select
import struct
import termios
from collections.abc import Callable

import serial

from gateway.config.agent import BusSettings
from gateway.config.serial import SerialSettings
from gateway.errors import PortLostError
from gateway.process.clock import HostFiles

_LOG = logging.getLogger(__name__)

TIOCGSERIAL = 0x541E
TIOCSSERIAL = 0x541F
ASYNC_LOW_LATENCY = 1 << 13
"""`linux/tty_flags.h`; `flags` is the fifth int of `struct serial_struct`."""
_SERIAL_STRUCT_BYTES = 128
_FLAGS_OFFSET = 16
LATENCY_TIMER_MS = 1
"""FTDI's default of 16 ms costs two thirds of a 115200 baud bus."""
MAX_READ = 4096
COARSE_WAIT_S = 0.003
"""From here on a wait for hang-up only goes through poll(), whose unit is the millisecond."""
_PR_SET_TIMERSLACK = 29
_PARITIES = {"none": "N", "even": "E", "odd": "O"}
IN_USE = "in use by another program"
MODBUS_DATA_BITS = 8
"""Modbus over serial line V1.02 §2.5.1: RTU always has eight."""

PortSettings = BusSettings | SerialSettings


class Port:
    """One open serial port. Every method raises PortLostError when the port is gone."""

    def __init__(self, settings: PortSettings, files: HostFiles) -> None:
        """Open and set up. Raises: PortLostError with the reason and its cure."""
        self.path = settings.port
        self._serial = _open(settings)
        self._fd: int = self._serial.fileno()
        self._hang_up = select.poll()
        self._hang_up.register(self._fd, 0)
        self.has_parity = False
        """What the driver really set: a pty takes the call and leaves parity out."""
        try:
            self._exclusive()
            self.low_latency, self.has_wire_time = self._set_low_latency(files)
        except (OSError, termios.error) as error:
            self._serial.close()
            raise PortLostError(f"{self.path}: cannot be set up: {error}") from error

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Give the port back; a port that is gone closes without a word."""
        with contextlib.suppress(OSError, termios.error):
            self._serial.close()

    def write(self, frame: bytes, wait_s: float) -> None:
        """Hand the whole frame to the kernel; at most 256 bytes, which always fit its buffer."""
        view = memoryview(frame)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                if not select.select((), (self._fd,), (), wait_s)[1]:
                    raise PortLostError(
                        f"{self.path}: takes no bytes for {wait_s:g} s; is flow control on?"
                    ) from None
            except OSError as error:
                raise self._lost(error) from error

    def read(self) -> bytes:
        """Return what is there, b"" for nothing yet."""
        try:
            data = os.read(self._fd, MAX_READ)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error) from error
        if not data:  # VMIN=1: the end of file is a hang-up, never "nothing yet"
            raise self._lost(None)
        return data

    def wait_readable(self, seconds: float, other: int | None = None) -> bool:
        """Wait until bytes or a hang-up are there (or `other` is readable), with microseconds."""
        fds = (self._fd,) if other is None else (self._fd, other)
        return self._fd in select.select(fds, (), (), max(0.0, seconds))[0]

    def sleep(self, until: float, now: Callable[[], float]) -> None:
        """Sleep whatever arrives; only a hang-up ends it early (the next read tells)."""
        left = until - now()
        if left > COARSE_WAIT_S:
            if self._hang_up.poll(int(left * 1000) - 1):
                return
            left = until - now()
        if left > 0:
            select.select((), (), (), left)

    def _lost(self, error: OSError | None) -> PortLostError:
        reason = error.strerror if error is not None else "hang-up"
        return PortLostError(f"{self.path}: lost ({reason}); is the adapter plugged in?")

    def _exclusive(self) -> None:
        """Keep everyone else out: pyserial has taken the flock, TIOCEXCL keeps out those who do
        not ask for it (but root)."""
        fcntl.ioctl(self._fd, termios.TIOCEXCL)
        attributes = termios.tcgetattr(self._fd)
        self.has_parity = bool(attributes[2] & termios.PARENB)
        attributes[6][termios.VMIN] = 1
        attributes[6][termios.VTIME] = 0
        termios.tcsetattr(self._fd, termios.TCSANOW, attributes)

    def _set_low_latency(self, files: HostFiles) -> tuple[bool, bool]:
        """Ask for low latency and verify it; return it, and whether this is a port with a wire."""
        raw = bytearray(_SERIAL_STRUCT_BYTES)
        try:
            fcntl.ioctl(self._fd, TIOCGSERIAL, raw)
            flags = struct.unpack_from("=i", raw, _FLAGS_OFFSET)[0]
            struct.pack_into("=i", raw, _FLAGS_OFFSET, flags | ASYNC_LOW_LATENCY)
            fcntl.ioctl(self._fd, TIOCSSERIAL, raw)
            fcntl.ioctl(self._fd, TIOCGSERIAL, raw)
            flags = struct.unpack_from("=i", raw, _FLAGS_OFFSET)[0]
            low = bool(flags & ASYNC_LOW_LATENCY)
        except OSError as error:
            if error.errno == errno.ENOTTY:  # a pty has neither latency nor a wire
                return True, False
            low = False
        timer_ms = _latency_timer(os.path.realpath(self.path), files)
        if timer_ms is not None:
            low = timer_ms <= LATENCY_TIMER_MS
        if not low:
            _LOG.warning(
                "low latency not granted port=%s latency_timer_ms=%s cure=%s",
                self.path,
                timer_ms,
                "run as a user who may set it, or a udev rule ATTR{latency_timer}=1",
            )
        return low, True


def precise_timers() -> None:
    """Let this thread's sleeps end on time: the kernel adds 50 us of slack by default."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def _open(settings: PortSettings) -> serial.Serial:
    try:
        return serial.Serial(
            settings.port,
            settings.baud,
            bytesize=_data_bits(settings),
            parity=_PARITIES[settings.parity],
            stopbits=settings.stop_bits,
            timeout=0,
            exclusive=True,
        )
    except (OSError, ValueError, termios.error) as error:
        # SerialException is an OSError whose text buries the number.
        number = getattr(error, "errno", None) or (error.args and error.args[0])
        if not isinstance(number, int) and error.__context__ is not None:
            number = error.__context__.args and error.__context__.args[0]
        raise PortLostError(f"{settings.port}: {_why(number, settings, error)}") from error


def _data_bits(settings: PortSettings) -> int:
    return settings.data_bits if isinstance(settings, SerialSettings) else MODBUS_DATA_BITS


def _why(number: object, settings: PortSettings, error: Exception) -> str:
    if number == errno.ENOENT:
        return "does not exist; plug the adapter in, or correct `port` (ls /dev/serial/by-id)"
    if number in (errno.EACCES, errno.EPERM):
        return (
            "permission denied; who runs this (the gateway's user, you) must be in the group that "
            "owns the port, dialout as a rule"
        )
    if number in (errno.EAGAIN, errno.EBUSY):
        return f"{IN_USE}; stop it (`fuser -v` names it)"
    if number == errno.EINVAL and settings.parity != "none":
        return (
            f"does not take parity {settings.parity}; a pty has none: "
            'set parity = "none", stop_bits = 2'
        )
    if number in (errno.ENOTTY, errno.EISDIR, errno.ENOTDIR):
        return "is no serial port; give the path of one (ls /dev/serial/by-id)"
    return f"cannot be opened: {error}"


def _latency_timer(device: str, files: HostFiles) -> int | None:
    """Set an FTDI adapter's latency timer; return what it is then, ``None`` where there is none."""
    name = f"/sys/class/tty/{os.path.basename(device)}/device/latency_timer"
    if files.read(name) is None:
        return None
    with contextlib.suppress(OSError):
        files.path(name).write_text(f"{LATENCY_TIMER_MS}\n")
    text = files.read(name) or b""
    return int(text) if text.strip().isdigit() else None

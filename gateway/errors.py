"""The one error tree.

::

    GatewayError
    ├── ConfigError            a config, profile or secret file is wrong (carries every problem)
    ├── BusError               the bus or a device on it
    │   ├── PortLostError      the serial port is gone or cannot be opened
    │   ├── NoReplyError       nothing came back in time
    │   ├── BadFrameError      something came back that is not the reply
    │   └── DeviceExceptionError  the device refused (Modbus exception code)
    ├── RefusedError           what a technician asked for is not allowed or not possible
    ├── SpoolError             the spool cannot do what was asked
    ├── ProtocolError          the agent–centre protocol was broken
    │   ├── LocalProtocolError    by us: a bug
    │   └── RemoteProtocolError   by the peer; carries the close code
    ├── UplinkError            the session could not be made or ended
    ├── StoreError             the centre's store cannot do what was asked
    └── PrometheusError        a Prometheus server cannot be asked or did not answer sensibly

A message names what, where, the value, the limit and the cure.
"""


class GatewayError(Exception):
    """Root of every error this project raises on purpose."""


class ConfigError(GatewayError):
    """A configuration cannot be used."""


class BusError(GatewayError):
    """A transaction on a bus failed."""


class PortLostError(BusError):
    """The port vanished (hang-up, EIO, ENODEV) or cannot be opened."""


class NoReplyError(BusError):
    """No reply came within the time-out."""


class BadFrameError(BusError):
    """Bytes came back, but not a valid reply to the request."""


class DeviceExceptionError(BusError):
    """The device answered with a Modbus exception."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class RefusedError(GatewayError):
    """A live command asks for what is not allowed or not possible; the message says the cure."""


class SpoolError(GatewayError):
    """The spool cannot do what was asked."""


class ProtocolError(GatewayError):
    """The agent–centre protocol was broken."""


class LocalProtocolError(ProtocolError):
    """We were about to break the protocol: a bug here, never the peer's fault."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol; `close_code` is the WebSocket code to close with."""

    def __init__(self, message: str, close_code: int = 1002) -> None:
        super().__init__(message)
        self.close_code = close_code


class UplinkError(GatewayError):
    """A session with the centre could not be made, or ended."""


class StoreError(GatewayError):
    """The centre's store cannot do what was asked."""


class PrometheusError(GatewayError):
    """A Prometheus server could not be asked, or its answer is none."""

"""The conversation with upsd (Network UPS Tools) about the UPS that is named as the supply.

Owns the connection: opened when there is none, closed at the first thing that is wrong, bounded in
time and bytes. What is asked and what it means is `gateway.host.nut`'s. Has a thread of its own.
"""

import contextlib
import socket
import time

from gateway.host.nut import MAX_LINE, UpsName, UpsReading, answer, question, reading

PERIOD_S = 2.0
"""As often as a driver of NUT looks at its UPS (`pollinterval`)."""
ANSWER_S = 3.0


class UpsReader:
    """Asks one UPS. `read` is always called from the same thread."""

    def __init__(self, name: UpsName) -> None:
        self._name = name
        self._socket: socket.socket | None = None
        self._held = b""

    def read(self) -> UpsReading:
        """Ask for everything once. Never raises for what the network or upsd does."""
        answers: dict[str, tuple[str | None, str]] = {}
        where = f"upsd at {self._name.host}:{self._name.port}"
        until = time.monotonic() + ANSWER_S
        try:
            connection = self._connected()
            for variable in self._name.variables:
                connection.sendall(question(self._name, variable))
                answers[variable] = answer(self._line(connection, until), self._name, variable)
        except OSError as error:
            self.close()
            why = error.strerror or str(error) or "no answer"
            return UpsReading(fault=f"{where}: {why}; is nut-server running?")
        except ValueError as error:
            self.close()
            return UpsReading(fault=f"{where}: {error}")
        return reading(answers, self._name)

    def close(self) -> None:
        """Let go of the connection."""
        held, self._socket, self._held = self._socket, None, b""
        if held is not None:
            with contextlib.suppress(OSError):
                held.close()

    def _connected(self) -> socket.socket:
        if self._socket is None:
            where = (self._name.host, self._name.port)
            self._socket = socket.create_connection(where, ANSWER_S)
        return self._socket

    def _line(self, connection: socket.socket, until: float) -> bytes:
        """Return the next line. Raises: OSError, ValueError for one without an end."""
        while b"\n" not in self._held:
            if len(self._held) > MAX_LINE:
                raise ValueError(f"a line of more than {MAX_LINE} bytes; is it upsd?")
            connection.settimeout(max(0.001, until - time.monotonic()))
            data = connection.recv(MAX_LINE)
            if not data:
                raise ConnectionResetError(0, "the connection was closed")
            self._held += data
        line, _, self._held = self._held.partition(b"\n")
        return line

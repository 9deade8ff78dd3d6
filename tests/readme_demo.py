"""Put what `gateway demo` shows into the README: `python -m tests.readme_demo [seconds]`.

Runs the real demo on a pseudo-terminal, takes the last screen and the summary, and writes them
between the README's markers.
"""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN = "<!-- demo:begin (made by `python -m tests.readme_demo`) -->"
END = "<!-- demo:end -->"
ROWS, COLUMNS = 45, 100
REDRAW = re.compile(r"\x1b\[\?25l\x1b\[\d+F")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def record(seconds: float) -> str:
    """Run the demo on a terminal of `ROWS` by `COLUMNS` and return all it wrote."""
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.environ.pop("COLUMNS", None)
        os.environ.pop("LINES", None)
        command = [sys.executable, "-m", "gateway.cli.main", "demo", "--seconds", str(seconds)]
        os.execv(sys.executable, command)
    written = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # EIO: the demo has ended
            break
        if not piece:
            break
        written += piece
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"the demo failed:\n{written.decode('utf-8', 'replace')}")
    return written.decode("utf-8")


def last_screen(written: str) -> str:
    """Return the last drawing and what followed it, as plain text."""
    text = ESCAPE.sub("", REDRAW.split(written)[-1]).replace("\r", "")
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


def main() -> int:
    """Rewrite the README's block."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    screen = last_screen(record(seconds))
    before, _, rest = README.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n```text\n{screen}\n```\n{END}{after}", "utf-8")
    print(screen)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A postponed module costs nothing until it is used, and then it is the real one."""

import subprocess
import sys

CHECK = """
import sys
from gateway.process.postpone import postpone
postpone("importlib.metadata")
postpone("importlib.metadata")
import websockets.asyncio.client
assert "zipfile" not in sys.modules, "somebody used it"
import importlib.metadata
assert "zipfile" not in sys.modules
{use}
assert "zipfile" in sys.modules
import importlib.metadata
assert importlib.metadata is sys.modules["importlib.metadata"]
assert importlib.metadata.__spec__ is not None
postpone("importlib.metadata")
assert importlib.metadata.version("websockets")
"""
USES = {
    "attribute": 'assert importlib.metadata.version("websockets")',
    "from": 'from importlib.metadata import version; assert version("websockets")',
}


def _ends_well(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_used_as_an_attribute() -> None:
    """``importlib.metadata.version`` loads the module."""
    _ends_well(CHECK.format(use=USES["attribute"]))


def test_used_by_from() -> None:
    """``from importlib.metadata import version`` does as well."""
    _ends_well(CHECK.format(use=USES["from"]))


def test_the_agent_does_without() -> None:
    """Nothing that the daemon imports at its start uses it."""
    _ends_well(
        "import sys\n"
        "from gateway.process.postpone import RARELY_USED, postpone\n"
        "for name in RARELY_USED: postpone(name)\n"
        "import gateway.agent.daemon\n"
        'unwanted = {"zipfile", "csv", "difflib", "html.entities", "zstandard"}\n'
        "assert not unwanted & sys.modules.keys(), unwanted & sys.modules.keys()\n"
    )

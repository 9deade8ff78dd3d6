"""Import a module only once something of it is used.

Owns a saving of memory: a library may import what it hardly ever uses. Nothing behaves differently.

The standard library's `importlib.util.LazyLoader` does not serve here: a second ``import`` of the
name, even without use, loads the module (bpo-36376).
"""

import importlib
import sys
from types import ModuleType

RARELY_USED = ("importlib.metadata", "html")
"""What the agent's libraries import and do not use: websockets wants the first (and with it
zipfile, csv, shutil) only in a development version, `http.server` the second only to show an error
page. Together 2 MiB of an agent that may take 40."""


def postpone(name: str) -> None:
    """Let ``import name`` be free until an attribute of it is asked for.

    Idempotent; does nothing when the module is loaded already.
    """
    if name in sys.modules:
        return
    parent, _, leaf = name.rpartition(".")
    stand_in = ModuleType(name)

    def load(attribute: str) -> object:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    # PEP 562: a module's own __getattr__ is asked for what the module does not have.
    stand_in.__dict__["__getattr__"] = load
    sys.modules[name] = stand_in
    if parent:
        setattr(importlib.import_module(parent), leaf, stand_in)

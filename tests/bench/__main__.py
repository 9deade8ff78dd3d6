"""Run every bench module of this folder (or the ones named), one after the other."""

import importlib
import pkgutil
import sys

import tests.bench


def main(names: list[str]) -> int:
    """Return 1 if any module's `main` failed, else 0."""
    known = sorted(m.name for m in pkgutil.iter_modules(tests.bench.__path__) if m.name[0] != "_")
    failed = []
    for name in names or known:
        module = importlib.import_module(f"tests.bench.{name}")
        if not hasattr(module, "main"):
            continue
        print(f"\n=== bench: {name} ===", flush=True)
        if module.main():
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


sys.exit(main(sys.argv[1:]))

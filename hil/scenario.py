"""Scenarios: found, given a bench of their own or a shared one, run, judged.

Owns the list and the result; what is broken and asserted stands on each scenario's own page. A
scenario that needs what the machine lacks is skipped and says what.
"""

import importlib
import pkgutil
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType

from hil import scenarios
from hil.bench import Bench
from hil.capability import Capability, missing
from hil.fleet import plan
from hil.stack import Stack, lacking

AGENTS, DRIVERS = 8, 12
WARM_UP_S = 12.0
BETWEEN_S = 12.0
"""After a scenario has settled, before the next: nothing of the last is asked for again."""


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario's end. `state`: ``passed``, ``failed`` or ``skipped``; `why` is in words."""

    name: str
    state: str
    why: str = ""


def names() -> list[str]:
    """Return the scenarios there are."""
    return sorted(module.name for module in pkgutil.iter_modules(scenarios.__path__))


def page(name: str) -> ModuleType:
    """Return a scenario's module. Raises: ModuleNotFoundError."""
    return importlib.import_module(f"hil.scenarios.{name}")


def lacks(name: str) -> str | None:
    """Return what the machine lacks for a scenario, ``None`` when it can run."""
    needs: tuple[Capability, ...] = getattr(page(name), "NEEDS", ())
    reasons = [reason for need in needs if (reason := missing(need)) is not None]
    whole = lacking()
    return "; ".join([*([whole] if whole else []), *reasons]) or None


def run(chosen: Iterable[str], seed: int, say: Callable[[str], None]) -> list[Result]:
    """Run scenarios one after the other on one stack."""
    results, able = [], []
    for name in chosen:
        reason = lacks(name)
        if reason is None:
            able.append(name)
        else:
            say(f"{name}: skipped: {reason}")
            results.append(Result(name, "skipped", reason))
    if not able:
        return results
    with Stack(plan(AGENTS, DRIVERS), seed=seed) as stack:
        bench = Bench(stack, seed)
        bench.quiet(WARM_UP_S)
        for name in able:
            result = _one(name, bench)
            say(f"{name}: {result.state}{': ' if result.why else ''}{result.why}")
            results.append(result)
    return results


def _one(name: str, bench: Bench) -> Result:
    try:
        bench.quiet(BETWEEN_S)
        page(name).run(bench)
    except Exception as error:  # noqa: BLE001  # told in the report; the others still run
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = str(error) or f"{last.name}, line {last.lineno}: {last.line}"
        return Result(name, "failed", f"{type(error).__name__}: {text}")
    return Result(name, "passed")

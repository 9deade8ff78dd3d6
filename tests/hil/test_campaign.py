"""A small seeded campaign over real processes: each fault is found as what it was, by two judges.

The long form is `make hil`: the whole fleet, every fault.
"""

import os
from pathlib import Path

from hil import campaign, kept
from hil.comparison import Comparison
from hil.stack import lacking
from tests.system import need, skip

FAULTS = (
    "agent_killed",
    "centre_drained",
    "firewall_resets",
    "half_open",
    "power_sag_then_cut",
    "proxy_killed",
)

SEED = 23
"""Processes keep their own time; the order, at least, is the same in every run of the suite."""


def test_a_small_campaign_is_judged_right(tmp_path: Path) -> None:
    """Right causes, nobody blamed on power without power, one report from the command line."""
    for name in ("ip", "nft", "nginx", "haproxy", "prometheus"):
        need(name)
    reason = lacking(prometheus=True)
    if reason is not None:
        skip(reason)
    seed = int(os.environ.get("GATEWAY_SEED") or SEED)
    print(f"seed {seed} (GATEWAY_SEED=N draws another order)")
    run = campaign.run(seed, print, tmp_path, agents=4, drivers=10, only=FAULTS, calm=0.5)
    comparison = run.told.comparison
    assert [entry.failure for entry in run.ledger.entries] == [""] * len(FAULTS)
    assert run.left_out == ()
    assert comparison.shortcomings() == []
    assert run.scraped is not None
    assert run.scraped.comparison.shortcomings() == []
    assert run.scraped.shortcomings() == []
    again = kept.judge(tmp_path / f"seed-{seed}").comparison
    assert verdicts(again) == verdicts(comparison)


def verdicts(comparison: Comparison) -> list[tuple[str, int, str, str]]:
    """Return what was said of each loss, without when: an anchor that arrives between the two
    looks moves the gateway's own times by microseconds."""
    return [
        (one.loss.gateway, one.loss.session, one.loss.cause.value, one.loss.held_by.value)
        for one in comparison.judged
    ]

"""How long to wait before connecting again.

Owns the arithmetic only: the driver draws `u`. Capped exponential with full jitter (Brooker, AWS
Architecture Blog 2015): gateways that fell together must not come back together.
"""


def backoff(attempt: int, u: float, retry_after_s: float, initial_s: float, max_s: float) -> float:
    """Return the seconds to wait before connection attempt `attempt` + 1.

    `attempt` counts failures in a row from 1; `u` is uniform in [0, 1). `retry_after_s` is the
    centre's word (0: none): never sooner than that, and spread over a quarter of it besides, so
    that the centre may give everyone the same number.
    """
    if attempt < 1:
        raise ValueError(f"attempt {attempt}: counts from 1")
    cap = min(max_s, initial_s * 2.0 ** min(attempt - 1, 62))
    if retry_after_s > 0:
        return retry_after_s + u * max(retry_after_s / 4, initial_s)
    return u * cap

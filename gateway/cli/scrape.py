"""Read a Prometheus endpoint: fetch the text, look values up.

Owns no metric names. Only for our own endpoints on loopback; the demo and the tests use it.
"""

import http.client
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 5.0


class AnswerError(OSError):
    """The endpoint answered, but not with 200."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Scrape:
    """The samples of one scrape: (name, labels, value)."""

    samples: tuple[tuple[str, dict[str, str], float], ...] = ()

    @classmethod
    def fetch(cls, address: str, path: str = "/metrics") -> "Scrape":
        """Scrape ``host:port``. Raises: OSError when nobody answers."""
        return cls.parse(get(address, path))

    @classmethod
    def parse(cls, text: str) -> "Scrape":
        """Read the text format."""
        return cls(
            tuple(
                (sample.name, sample.labels, sample.value)
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            )
        )

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over every sample of `name` that has these labels; 0 without any."""
        return sum(value for _, value in self._matching(name, labels))

    def quantile(self, name: str, q: float, **labels: str) -> float | None:
        """Return a quantile of histogram `name`, interpolated in its bucket; ``None`` if empty."""
        buckets: dict[float, float] = {}
        for found, value in self._matching(f"{name}_bucket", labels):
            bound = float(found["le"])
            buckets[bound] = buckets.get(bound, 0.0) + value
        bounds = sorted(buckets)
        if not bounds or not buckets[bounds[-1]]:
            return None
        rank = q * buckets[bounds[-1]]
        below = low = 0.0
        for bound in bounds:
            if buckets[bound] >= rank:
                if bound == float("inf"):
                    return low
                inside = buckets[bound] - below
                return low + (bound - low) * ((rank - below) / inside if inside else 1.0)
            below, low = buckets[bound], bound
        return low

    def _matching(
        self, name: str, labels: dict[str, str]
    ) -> Iterator[tuple[dict[str, str], float]]:
        for sample, found, value in self.samples:
            if sample == name and labels.items() <= found.items():
                yield found, value


def get(address: str, path: str) -> str:
    """Return the body of a loopback HTTP resource.

    Raises: AnswerError unless it answers 200, OSError when nobody does.
    """
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode("utf-8")
    except http.client.HTTPException as error:
        raise OSError(f"http://{address}{path}: {error!r}") from error
    finally:
        connection.close()
    if response.status != 200:
        text = f"http://{address}{path} answered {response.status}: {body[:200]}"
        raise AnswerError(text, response.status)
    return body

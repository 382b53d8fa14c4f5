"""What a version's requests came to, and whether a canary's are worse than the champion's.

Times are counted in buckets a quarter of an octave wide, so tallies of replicas add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raymm.errors import RaymmError, ServingError

_LEAST = 1e-4
_BUCKETS = 80
_NEW = 0.3
"""Weight of the newest call in what calls take."""
LIGHT = 0.5
"""Of what can be done, up to which as much is asked for that calls take their usual time."""
_USUAL = 20
"""Calls of which the usual time is the mean, about."""
FIRST_LOOK = 50
"""Requests of a canary before it is judged first; then at each doubling of them."""
LEAST_KNOWN = 100
"""Answers of a champion without which its 99th percentile is not known, and no time is judged."""
_ALPHA = 5e-4
"""Of each test: two of them at ten doublings (50 to 25,600 requests) stay below 1 % together."""


class Tally:
    """Counts the requests of one version in one process."""

    __slots__ = (
        "_asked", "_crowd", "_light", "_usual",
        "call_seconds", "errors", "requests", "usual_seconds", "within",
    )  # fmt: skip

    def __init__(self) -> None:
        self.call_seconds = 0.0
        self.usual_seconds = 0.0
        self._light = True
        self._asked = self._crowd = 0.0, 0.0
        self._usual = 0
        self.clear()

    def clear(self) -> None:
        """Count from nothing."""
        self.requests = 0
        self.errors = 0
        self.within = [0] * _BUCKETS

    def answered(self, seconds: float) -> None:
        """Count an answer."""
        self.requests += 1
        place = int(4 * math.log2(seconds / _LEAST)) if seconds > _LEAST else 0
        self.within[place if place < _BUCKETS else -1] += 1

    def called(self, seconds: float) -> None:
        """Learn from a call what calls take, or a row of them: ``call_seconds``, 0 before any.

        Those that end under light load tell their usual time besides, ``usual_seconds``: a machine
        that has too much to do takes longer for each.
        """
        known = self.call_seconds
        self.call_seconds = known + _NEW * (seconds - known) if known else seconds
        if self._light:
            self._usual = min(self._usual + 1, _USUAL)
            self.usual_seconds += (seconds - self.usual_seconds) / self._usual

    def asked(self, seconds: float, now: float, *, over: float, able: float = 1.0) -> float:
        """Count work that was asked for, whether or not it is done.

        Returns how much of it, with this, there was a second of late, of the ``able`` seconds of
        work that can be done in one: what came so many seconds ago as ``over`` says counts 1 / e.
        The load is light up to half of that.
        """
        known, at = self._asked
        known = known * math.exp((at - now) / over) + seconds
        self._asked = known, now
        share = known / over / able
        self._light = share <= LIGHT
        return share

    def crowd(self, now: float, *, call: float) -> float:
        """Count a request of which a call takes so many seconds; returns how many came at once.

        One that came as long ago as a call takes counts 1 / e.
        """
        known, at = self._crowd
        self._crowd = 1 + known * math.exp((at - now) / call), now
        return self._crowd[0]

    def failed(self) -> None:
        """Count a request that failed for no fault of who sent it."""
        self.requests += 1
        self.errors += 1

    def counts(self) -> Counts:
        """Return the counts as they are now."""
        return Counts(requests=self.requests, errors=self.errors, within=tuple(self.within))


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Requests, failures among them, and answers by bucket of their time."""

    requests: int = 0
    errors: int = 0
    within: tuple[int, ...] = field(default=(0,) * _BUCKETS)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Counts:
        """Read what `record` wrote."""
        return cls(
            requests=int(record["requests"]),
            errors=int(record["errors"]),
            within=tuple(map(int, record["within"])),
        )

    def record(self) -> dict[str, Any]:
        """Return plain values."""
        return {"requests": self.requests, "errors": self.errors, "within": list(self.within)}

    def quantile(self, share: float) -> float:
        """Return the upper bound of the bucket that a quantile falls in, in seconds; 0 if none."""
        return _upper(self._bucket(share)) if sum(self.within) else 0.0

    def _bucket(self, share: float) -> int:
        wanted, seen = share * sum(self.within), 0
        for place, count in enumerate(self.within):
            seen += count
            if seen >= wanted:
                return place
        return _BUCKETS - 1

    def slower_than(self, seconds: float) -> int:
        """Return how many answers lie in buckets wholly above a time."""
        return sum(
            count
            for place, count in enumerate(self.within)
            if place and _upper(place - 1) >= seconds
        )


def kind_of(error: Exception, *, alone: bool = False) -> str:
    """Return the name that an error is counted by: its class in raymm's tree, else "Exception".

    Where a version is ``alone`` in it, as the champion answers the same request, a refusal is no
    fault of who asks: that client breaks once the version reigns. It counts as "ServingError".

    >>> from raymm.errors import NotFound
    >>> kind_of(NotFound("no")), kind_of(NotFound("no"), alone=True), kind_of(OSError())
    ('NotFound', 'ServingError', 'Exception')
    """
    if not isinstance(error, RaymmError):
        return "Exception"
    refused = alone and error.http_status < 500
    return ServingError.__name__ if refused else type(error).__name__


def total(counts: Sequence[Counts]) -> Counts:
    """Return the sum of several replicas' counts."""
    return Counts(
        requests=sum(one.requests for one in counts),
        errors=sum(one.errors for one in counts),
        within=tuple(map(sum, zip(*(one.within for one in counts), strict=True)))
        if counts
        else (0,) * _BUCKETS,
    )


def bounds() -> list[float]:
    """Return the upper bound of each bucket of answers, in seconds."""
    return [_upper(place) for place in range(_BUCKETS)]


def _upper(place: int) -> float:
    return _LEAST * float(2.0 ** ((place + 1) / 4))


def verdict(champion: Counts, canary: Counts, *, slowdown: float) -> str:
    """Return why a canary is to be ended, by its errors or its time; empty where it is not.

    Errors: given the errors of both together, those of the canary are binomial with its share of
    the requests if both fail alike. Time: if the canary were at most ``slowdown`` times as slow,
    one in a hundred of its answers would take longer than that times the champion's 99th
    percentile, which is asked once the champion has `LEAST_KNOWN` answers.

    Parameters
    ----------
    slowdown : float
        Times as slow as the champion that a canary may be, at least 1.

    Source: the conditional test of two Poisson rates, Przyborowski & Wilenski 1940; the exact
    binomial test, Clopper & Pearson 1934.
    """
    errors, requests = champion.errors + canary.errors, champion.requests + canary.requests
    if canary.errors and tail(canary.errors, errors, canary.requests / requests) < _ALPHA:
        return (
            f"it failed {canary.errors} of {canary.requests} requests, the champion "
            f"{champion.errors} of {champion.requests}"
        )
    usual, answers = champion.quantile(0.99), sum(canary.within)
    slow = canary.slower_than(slowdown * usual)
    known = sum(champion.within) >= LEAST_KNOWN
    if known and slow and tail(slow, answers, 0.01) < _ALPHA:
        return (
            f"{slow} of its {answers} answers took over {slowdown:g} times the champion's 99th "
            f"percentile of {usual * 1e3:.3g} ms"
        )
    return ""


def tail(least: int, trials: int, chance: float) -> float:
    """Return the probability of at least so many successes in so many trials.

    >>> round(tail(2, 2, 0.5), 6), tail(0, 5, 0.1)
    (0.25, 1.0)

    Source: the incomplete beta function as a binomial tail, Abramowitz & Stegun 26.5.24.
    """
    from scipy.special import betainc

    if least <= 0:
        return 1.0
    return float(betainc(least, trials - least + 1, chance))

"""What a version answered in a period, and whether another one surely fails oftener or is slower.

Both tests are exact, whatever the rates and the distribution of times are. They are asked at every
look at what has come so far, so they take little for a proof.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

CHANCE = 3.2e-5
"""Of calling a version worse by chance, at one look: what is beyond four deviations, one-sided."""
_SHARES = (0.5, 0.1, 0.01)
"""Of all answers, the longest of which are counted by version."""
_FAILURES = ("ServingError", "BundleError", "Exception")
"""Errors that speak against a version: no fault of who asks, nor of a queue that is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came to a version in a period.

    Attributes
    ----------
    requests, failed : int
        That it was asked, and that it failed, whoever asked.
    within : tuple of (int, int)
        Answers by bucket of their time, as `bucket` numbers them, in rising order.
    """

    requests: int = 0
    failed: int = 0
    within: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, version: Mapping[str, Any]) -> Self:
        """Return what the monitor's report of a version has counted in all."""
        errors = version.get("errors", {})
        failed = sum(int(errors.get(kind, 0)) for kind in _FAILURES)
        within = version.get("latency", {}).get("within", {})
        return cls(
            requests=max(int(version.get("requests", 0)), failed),
            failed=failed,
            within=tuple(sorted((int(place), int(count)) for place, count in within.items())),
        )

    def since(self, then: Answered) -> Answered:
        """Return what came since; of a version that was counted anew meanwhile, all."""
        before = dict(then.within)
        within = tuple((place, count - before.get(place, 0)) for place, count in self.within)
        fewer = any(count < 0 for _, count in within) or self.failed < then.failed
        if self.requests < then.requests or fewer:
            return self
        return Answered(
            requests=self.requests - then.requests,
            failed=self.failed - then.failed,
            within=tuple((place, count) for place, count in within if count),
        )

    @property
    def answers(self) -> int:
        """How many answers have a time."""
        return sum(count for _, count in self.within)

    def p99(self) -> float:
        """Return the bound in seconds that 99 % of the answers keep; 0 where there are none."""
        passed, all_ = 0, self.answers
        for place, count in self.within:
            passed += count
            if passed >= 0.99 * all_:
                return float(2.0 ** (place / 4))
        return 0.0


NOTHING = Answered()


def bucket(seconds: float) -> int:
    """Return the number of the bucket that a time falls in: number n ends at 2^(n/4) seconds.

    >>> bucket(1.0), bucket(1.1), bucket(2.0)
    (0, 1, 4)
    """
    return math.ceil(4 * math.log2(seconds) - 1e-9)


def failing(other: Answered, version: Answered) -> str:
    """Return that a version surely fails oftener than another; else empty.

    Given the failures of both together, its own are binomial with its share of the requests if
    both fail alike.

    Source: the conditional test of two Poisson rates, Przyborowski & Wilenski 1940.
    """
    requests = other.requests + version.requests
    if not version.failed:
        return ""
    share = version.requests / requests
    if _tail(version.failed, other.failed + version.failed, share) >= CHANCE:
        return ""
    return (
        f"it failed {version.failed} of {version.requests} requests, the other {other.failed} of "
        f"{other.requests}"
    )


def slow(other: Answered, version: Answered, slower: float) -> str:
    """Return that a version is more than ``slower`` times as slow as another; else empty.

    The 99th percentiles must say so, and it must be sure: if its times, divided by ``slower``,
    were no longer than the other's, then of the longest of all times together no more than its
    share would be its own. Asked of the longest half, tenth and hundredth. As what is longest is
    told by all times together, their distribution does not matter.

    Source: a permutation test, Fisher 1935; its hypergeometric tail is bounded by the binomial's,
    Hoeffding 1963, theorem 4.
    """
    ours, theirs = version.p99(), other.p99()
    if not theirs or ours <= slower * theirs:
        return ""
    shift = math.ceil(4 * math.log2(slower) - 1e-9)
    scaled = [(place - shift, count) for place, count in version.within]
    share = version.answers / (version.answers + other.answers)
    for least in (_threshold([*other.within, *scaled], part) for part in _SHARES):
        own = _above(scaled, least)
        longest = own + _above(other.within, least)
        if _tail(own, longest, share) < CHANCE / len(_SHARES):
            return (
                f"99 % of its answers take up to {1e3 * ours:.3g} ms, the other's "
                f"{1e3 * theirs:.3g} ms"
            )
    return ""


def _threshold(pooled: Iterable[tuple[int, int]], part: float) -> int:
    """Return the lowest bucket of the longest times: at most a part of all, or the last bucket."""
    counts: dict[int, int] = {}
    for place, count in pooled:
        counts[place] = counts.get(place, 0) + count
    room = part * sum(counts.values())
    least = max(counts)
    for place in sorted(counts, reverse=True):
        room -= counts[place]
        if room < 0:
            break
        least = place
    return least


def _above(within: Iterable[tuple[int, int]], least: int) -> int:
    return sum(count for place, count in within if place >= least)


def _tail(least: int, trials: int, chance: float) -> float:
    """Return the probability of at least so many successes in so many trials.

    Source: the incomplete beta function as a binomial tail, Abramowitz & Stegun 26.5.24.
    """
    from scipy.special import betainc

    return 1.0 if least <= 0 else float(betainc(least, trials - least + 1, chance))

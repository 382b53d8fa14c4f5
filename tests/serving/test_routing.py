"""A canary's share of the predictions."""

from __future__ import annotations

from itertools import islice

import pytest

from raymm.serving.identity import identities
from raymm.serving.routing import falls_to_canary


@pytest.mark.parametrize("names", ["counted", "own"])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_share_is_kept(names, share):
    count = 20_000
    made = islice(identities(), count) if names == "own" else (f"order-{n}" for n in range(count))
    found = sum(falls_to_canary(name, share, 3) for name in made)
    # Six standard deviations of a binomial: one in a billion by chance.
    assert abs(found - share * count) < 6 * (count * share * (1 - share)) ** 0.5


def test_a_name_stays_where_it_is_and_a_growing_share_keeps_its_own():
    names = [f"customer-{n}" for n in range(2000)]
    some = {name for name in names if falls_to_canary(name, 0.1, 7)}
    more = {name for name in names if falls_to_canary(name, 0.3, 7)}
    assert some < more
    assert some == {name for name in names if falls_to_canary(name, 0.1, 7)}
    assert some != {name for name in names if falls_to_canary(name, 0.1, 8)}
    assert falls_to_canary("customer-1", 1.0, 7)
    assert not falls_to_canary("customer-1", 0.0, 7)

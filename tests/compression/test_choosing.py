from __future__ import annotations

from types import SimpleNamespace

import pytest

from raymm.artifacts import Candidate, Score
from raymm.compression.choosing import choose
from raymm.sections import Limits


def candidate(number, size, loss):
    return Candidate(
        technique="some" if number else "none",
        parameters={"number": number},
        score=0.0,
        loss=Score(metric="m", value=loss, low=loss, high=loss),
        bytes=size,
        row_microseconds=1.0,
    )


FORMS = tuple(
    candidate(number, size, loss)
    for number, (size, loss) in enumerate([(100, 0.0), (50, 0.1), (30, 0.2), (30, 0.2), (10, 0.9)])
)


@pytest.mark.parametrize(
    ("limits", "silent", "chosen"),
    [
        (Limits(), {}, 2),
        (Limits(bundle_mb=40e-6), {}, 2),
        # Nothing good is within the limit: the one that loses least.
        (Limits(bundle_mb=20e-6), {}, 4),
        # Nothing at all is.
        (Limits(bundle_mb=5e-6), {}, 2),
        (Limits(bundle_mb=20e-6), {"some number=4"}, 2),
    ],
)
def test_the_smallest_that_is_good_is_chosen(limits, silent, chosen):
    judge = SimpleNamespace(good=lambda one: one.loss.value <= 0.5, silent=silent)
    found = choose(FORMS, judge, limits)
    assert [one.chosen for one in found] == [place == chosen for place in range(len(FORMS))]

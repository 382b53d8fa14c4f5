import threading
import time

import pytest

from raymm.errors import NotFound, ServingError
from raymm.serving.sources import FixedModels, PolledModel, from_bundle


def test_fixed_models(make_served):
    models = FixedModels(make_served("b"), make_served("a"))
    assert models.names() == ("a", "b")
    assert models.get("a").name == "a"
    with pytest.raises(NotFound, match="Models: a, b"):
        models.get("c")


class Source:
    """Offers whatever `newest` is."""

    def __init__(self, newest=None):
        self.newest, self.asked = newest, []

    def __call__(self, known):
        self.asked.append(known)
        if isinstance(self.newest, Exception):
            raise self.newest
        return None if self.newest is None or self.newest[0] == known else self.newest


def test_swaps_in_a_newer_version(make_bundle):
    source = Source((1, make_bundle().to_bytes()))
    model = PolledModel("m", source)
    assert model.refresh()
    assert not model.refresh()
    assert (model.get("m").number, source.asked) == (1, [None, 1])
    assert model.get("m").row_seconds > 0
    source.newest = (2, make_bundle(shift=1).to_bytes())
    before = model.get("m")
    assert model.refresh()
    assert (before.number, model.get("m").number) == (1, 2)
    assert before.sha256 != model.get("m").sha256
    source.newest = (1, make_bundle().to_bytes())  # a rollback
    assert model.refresh()
    assert model.get("m").number == 1


def test_a_bad_version_leaves_the_old_one(make_bundle):
    source = Source((1, make_bundle().to_bytes()))
    model = PolledModel("m", source)
    model.refresh()
    source.newest = (2, b"no bundle")
    assert not model.refresh()
    assert model.get("m").number == 1
    assert "version 2 cannot be loaded" in model.failure
    source.newest = OSError("storage is away")
    assert not model.refresh()
    assert "storage is away" in model.failure
    source.newest = (3, make_bundle(shift=1).to_bytes())
    assert model.refresh()
    assert (model.get("m").number, model.failure) == (3, "")


@pytest.mark.parametrize("newest", [None, (1, b"bad"), OSError("away")])
def test_nothing_to_serve(newest):
    model = PolledModel("m", Source(newest))
    with pytest.raises(ServingError, match="raymm promote m"):
        model.start()
    with pytest.raises(NotFound):
        model.get("m")


def test_polls_in_the_background(make_bundle):
    source = Source((1, make_bundle().to_bytes()))
    model = PolledModel("m", source, poll=0.01)
    model.start()
    source.newest = (2, make_bundle(shift=1).to_bytes())
    deadline = time.monotonic() + 5
    while model.get("m").number != 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    model.stop()
    assert model.get("m").number == 2
    assert "raymm-poll" not in {thread.name for thread in threading.enumerate()}


def test_the_hash_is_that_of_the_file(make_bundle):
    bundle = make_bundle()
    assert from_bundle("m", 1, bundle.to_bytes()).sha256 == bundle.sha256

"""A model follows its release; what fails never takes over."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from raymm.artifacts import ColumnStatistics, Predictions, Release, Reliability
from raymm.errors import NotFound, RegistryError, ServingError
from raymm.serving import released
from raymm.serving.rehearsal import Care, from_bundle
from raymm.serving.released import ReleasedModel, ReleasedModels
from raymm.serving.turnstile import Turnstile

PREDICTED = Predictions(
    column=ColumnStatistics(
        name="p", kind="number", rows=3, missing=0, distinct=2, edges=(0.5,), counts=(1, 2)
    )
)


class Shelf:
    """Holds bundles by number, and a release that can be changed."""

    def __init__(self, **bundles):
        self.bundles = {int(key[1:]): value for key, value in bundles.items()}
        self.release = Release(name="m")
        self.refused = []
        self.known, self.predicted = {}, {}
        self.away = None

    def now(self, **what):
        self.release = replace(self.release, sequence=self.release.sequence + 1, **what)

    def look(self, name):
        if self.away:
            raise self.away
        return self.release

    def fetch(self, name, number):
        made = self.bundles[number]
        if isinstance(made, Exception):
            raise made
        return made

    def reliability(self, name, number):
        return self.known.get(number)

    def predictions(self, name, number):
        return self.predicted.get(number)

    def refuse(self, name, number, *, since, reason):
        self.refused.append((number, since, reason))


@pytest.fixture
def shelf(make_bundle):
    return Shelf(
        v1=make_bundle().to_bytes(),
        v2=make_bundle(shift=1).to_bytes(),
        v3=make_bundle(shift=2).to_bytes(),
        v9=b"no bundle",
    )


def started(shelf, **how):
    model = ReleasedModel("m", shelf, poll=30.0, **how)
    model.start()
    return model


def test_what_is_known_of_a_version_s_probabilities_is_served_with_it(shelf):
    shelf.known[1] = Reliability(rows=(3,), hits=(2,))
    shelf.predicted[1] = PREDICTED
    shelf.now(champion=1)
    model = started(shelf)
    assert model.served.reliability == shelf.known[1]
    assert model.served.predictions == PREDICTED
    shelf.now(champion=2)
    model.refresh()
    assert model.served.number == 2
    assert model.served.reliability is model.served.predictions is None


def test_promotions_and_rollbacks_are_followed(shelf):
    shelf.now(champion=1)
    model = started(shelf)
    assert (model.served.number, model.report()["sequence"]) == (1, 1)
    first = model.served
    assert not model.refresh()
    shelf.now(champion=2, earlier=(1,))
    assert model.refresh()
    assert (model.served.number, model.report()["sequence"]) == (2, 2)
    shelf.now(champion=1, earlier=())
    shelf.bundles.clear()  # it is loaded still
    assert model.refresh()
    assert model.served is first
    model.stop()


def test_a_champion_goes_on_as_the_shadow_of_the_one_that_took_its_place(shelf):
    shelf.now(champion=1)
    model = started(shelf)
    first = model.served
    shelf.bundles.pop(1)  # it is loaded still
    shelf.now(champion=2, earlier=(1,))
    model.refresh()
    shelf.now(shadow=1)
    assert model.refresh()
    assert (model.served.number, model.shadow()) == (2, first)
    shelf.now(champion=1, shadow=None, earlier=())
    assert model.refresh()
    assert (model.served, model.shadow()) == (first, None)
    model.stop()


def test_a_canary_has_its_share_and_nobody_sees_the_shadow(shelf):
    shelf.now(champion=1, canary=2, share=0.25, shadow=3)
    models = ReleasedModels(started(shelf))
    names = [f"p{n}" for n in range(4000)]
    numbers = [models.route("m", name).number for name in names]
    assert numbers == [models.route("m", name).number for name in names]
    # Six standard deviations of 4,000 draws at one in four.
    assert abs(numbers.count(2) - 1000) < 6 * 28
    assert set(numbers) == {1, 2}
    assert models.get("m").number == 1
    assert models.shadow("m").number == 3
    assert [models.at("m", number).number for number in (1, 2, 3)] == [1, 2, 3]
    with pytest.raises(NotFound, match=r"version 4 of \"m\".* Served: 1, 2, 3"):
        models.at("m", 4)
    for ask in (models.get, lambda name: models.route(name, "p"), lambda name: models.at(name, 1)):
        with pytest.raises(NotFound, match="Models: m"):
            ask("other")
    assert models.shadow("other") is None


def test_a_bad_version_leaves_what_is_served_and_is_told(shelf):
    told = []
    shelf.now(champion=1)
    model = started(shelf, tell=lambda name, standing: told.append(standing))
    shelf.now(champion=9, earlier=(1,))
    assert not model.refresh()
    assert model.served.number == 1
    ((number, since, reason),) = shelf.refused
    assert (number, since) == (9, 2)
    assert "cannot be loaded" in reason
    assert told[-1]["refused"]["9"]["reason"] == reason
    assert "version 9 is refused" in told[-1]["failure"]
    model.refresh()
    assert len(shelf.refused) == 1  # it is not tried again until something changes
    shelf.now(champion=1, earlier=())
    model.refresh()
    assert (model.served.number, model.report()["sequence"]) == (1, 3)
    for role in ({"canary": 9, "share": 0.5}, {"shadow": 9, "canary": None}):
        shelf.now(**role)
        model.refresh()
        assert {model.route(f"p{n}").number for n in range(50)} == {1}
        assert model.shadow() is None
    assert [one[:2] for one in shelf.refused] == [(9, 2), (9, 4), (9, 5)]


def test_a_replica_that_starts_with_a_bad_champion_serves_the_one_before(shelf):
    shelf.now(champion=9, earlier=(9, 2, 1))
    model = started(shelf)
    assert model.served.number == 2
    assert "9" in model.report()["refused"]
    shelf.now(canary=3, share=0.5)
    model.refresh()
    assert shelf.refused == []  # the trouble of one that starts ends no reign elsewhere


def test_a_replica_that_starts_waits_for_its_champion(shelf, monkeypatch):
    monkeypatch.setattr(released, "_RETRY_SECONDS", 0.0)
    good, times = shelf.bundles[2], []
    shelf.now(champion=2, earlier=(1,))

    def fetch(name, number):
        times.append(number)
        if len(times) < 3:
            raise OSError("slow down")
        return good

    shelf.fetch = fetch
    assert (started(shelf).served.number, times) == (2, [2, 2, 2])
    del shelf.fetch
    shelf.bundles[2] = OSError("away")
    with pytest.raises(ServingError, match="away"):
        started(shelf)
    assert shelf.refused == []


def test_storage_that_is_away_changes_nothing(shelf):
    shelf.now(champion=1)
    model = started(shelf)
    shelf.away = OSError("no route")
    assert not model.refresh()
    assert (model.served.number, "no route" in model.failure) == (1, True)
    shelf.away = None
    good = shelf.bundles[2]
    shelf.bundles[2] = OSError("slow down")
    shelf.now(champion=2, earlier=(1,))
    for _ in range(2):
        model.refresh()
        assert (model.served.number, model.report()["sequence"]) == (1, 1)
    shelf.bundles[2] = good
    assert model.refresh()
    assert (model.served.number, model.report()["sequence"], shelf.refused) == (2, 2, [])
    assert model.failure == ""
    shelf.bundles[3] = OSError("gone")
    shelf.now(champion=3, earlier=(2, 1))
    for _ in range(4):
        model.refresh()
    assert (shelf.refused, model.report()["sequence"]) == ([], 2)
    shelf.bundles[3] = RegistryError("Blob x in s3://b is damaged: its content hashes to y.")
    model.refresh()
    assert [one[0] for one in shelf.refused] == [3]


def test_a_change_is_acknowledged_when_nobody_is_left_from_before(shelf):
    turnstile = Turnstile()
    shelf.now(champion=1)
    model = ReleasedModel("m", shelf, poll=0.05, turnstile=turnstile)
    model.refresh()
    inside = turnstile.enter()
    shelf.now(champion=2)
    model.refresh()
    assert (model.served.number, model.report()["sequence"]) == (2, 1)
    turnstile.leave(inside)
    model.refresh()
    assert model.report()["sequence"] == 2


@pytest.mark.parametrize("bundle", [None, b"bad", OSError("away")])
def test_nothing_to_serve(bundle, monkeypatch):
    monkeypatch.setattr(released, "_RETRY_SECONDS", 0.0)
    shelf, told = Shelf(v1=bundle), []
    if bundle is not None:
        shelf.now(champion=1)
    model = ReleasedModel("m", shelf, tell=lambda name, standing: told.append(standing))
    with pytest.raises(ServingError, match="raymm promote m"):
        model.start()
    with pytest.raises(NotFound):
        ReleasedModels(model).get("m")
    assert told[0]["sequence"] == -1  # it was there before it looked


def test_changes_are_followed_in_the_background(shelf):
    shelf.now(champion=1)
    model = ReleasedModel("m", shelf, poll=0.01)
    models = ReleasedModels(model)
    models.start()
    shelf.now(champion=2)
    deadline = time.monotonic() + 5
    while models.get("m").number != 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    models.stop()
    assert models.get("m").number == 2
    assert not model._thread.is_alive()


def test_versions_without_a_role_are_let_go_but_a_few(shelf, make_bundle):
    shelf.now(champion=1)
    model = started(shelf)
    for number in range(4, 9):
        shelf.bundles[number] = make_bundle(shift=number).to_bytes()
        shelf.now(champion=number)
        model.refresh()
    assert sorted(model._loaded) == [6, 7, 8]


def test_a_canary_and_its_champion_are_counted_from_its_beginning(shelf):
    shelf.now(champion=1)
    model = started(shelf)
    model.served.tally.failed()
    assert model.report()["counts"]["1"]["errors"] == 1
    shelf.now(canary=2, share=0.5)
    model.refresh()
    assert {key: one["errors"] for key, one in model.report()["counts"].items()} == {"1": 0, "2": 0}


def test_a_bundle_that_was_missed_is_forgotten_with_its_role(shelf):
    shelf.now(champion=1)
    model = started(shelf)
    shelf.bundles[2] = OSError("slow down")
    shelf.now(champion=2, earlier=(1,))
    model.refresh()
    shelf.now(champion=1, earlier=())
    model.refresh()
    assert model.report()["sequence"] == 3


class Slowed:
    """A runner each of whose calls takes so many seconds more."""

    def __init__(self, runner, seconds):
        self._runner, self._seconds, self.schema = runner, seconds, runner.schema

    def predict(self, tensors):
        time.sleep(self._seconds)
        return self._runner.predict(tensors)

    def labels(self, predictions):
        return self._runner.labels(predictions)


@pytest.fixture
def care():
    """Lets the rows of versions 2 and 3 take 20 ms, and at most twice as long as the champion's."""

    def prepare(name, number, data):
        made = from_bundle(name, number, data)
        return made if number == 1 else replace(made, runner=Slowed(made.runner, 0.02))

    return Care(prepare=prepare, slowdown=2.0)


@pytest.mark.parametrize("role", [{}, {"shadow": 2}, {"canary": 2, "share": 0.1}])
def test_a_champion_that_is_much_slower_than_the_one_before_never_takes_over(shelf, care, role):
    shelf.now(champion=1, **role)
    model = started(shelf, care=care)
    model.refresh()
    shelf.now(champion=2, earlier=(1,), canary=None, shadow=None)
    assert model.refresh() == bool(role)  # whose role ends
    ((number, since, reason),) = shelf.refused
    assert (number, since) == (2, 2)
    assert "at most 2 ms are allowed" in reason
    assert "raymm promote m 2 --force" in reason
    model.refresh()
    assert len(shelf.refused) == 1
    assert model.served.number == 1
    assert model.report()["refused"]["2"] == {"sequence": 2, "reason": reason}
    shelf.now(champion=2, earlier=(1,), insisted=True)
    assert model.refresh()
    assert model.served.number == 2
    shelf.now(champion=3, earlier=(2, 1), insisted=False)  # as slow as who reigns
    model.refresh()
    assert (model.served.number, len(shelf.refused)) == (3, 1)


def test_a_replica_that_starts_takes_a_slow_champion(shelf, care):
    shelf.now(champion=2, earlier=(1,))
    assert started(shelf, care=care).served.number == 2

"""A compressed bundle that the test rows refuse gives way to one that loses less, once."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from raymm import lifecycle, milder, picking, proving
from raymm.artifacts import Blessing, Candidate, Check, Frontier, Recipe, Score
from raymm.config import parse
from raymm.errors import ParityError
from raymm.proving import REFUSED, Proof
from raymm.registry.versions import Registry
from raymm.sections import Limits
from raymm.stages import Built


def form(technique, size, high, *, chosen=False, gain=None):
    score = Score(metric="roc_auc", value=0.0, low=-0.01, high=high)
    return Candidate(
        technique=technique,
        parameters={},
        score=0.9,
        loss=score,
        over_control=None if gain is None else replace(score, low=gain),
        bytes=size,
        row_microseconds=1.0,
        chosen=chosen,
    )


def frontier(*forms, left_out=()):
    candidates = (form("none", 1000, 0.0), *forms)
    return Frontier(
        candidates=candidates, metric="roc_auc", max_loss=0.005, rows=10, left_out=left_out
    )


CHOSEN = form("cut", 100, 0.004, chosen=True)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ((), None),
        ((form("round", 300, 0.003), form("thin", 200, 0.001), form("thick", 150, 0.002)), "thin"),
        # Of equally sure ones the smaller; smaller than what was chosen is fine too.
        ((form("round", 300, 0.001), form("thin", 80, 0.001)), "thin"),
        # No better than what was refused, hardly smaller than the whole, or no better than control.
        ((form("round", 300, 0.004), form("thick", 800, 0.001)), None),
        ((form("taught", 300, 0.001, gain=-0.1), form("round", 300, 0.003, gain=0.1)), "round"),
    ],
)
def test_the_form_that_surely_loses_least_is_next(others, expected):
    found = milder.milder(frontier(*others, CHOSEN), Limits())
    assert (found and found.technique) == expected


def test_what_could_not_be_chosen_is_not_next_either():
    forms = (form("round", 300, 0.003), form("thin", 200, 0.001), CHOSEN)
    refused = frontier(*forms, left_out=("thin: the log_loss grows from 0.1 by 0.2",))
    assert milder.milder(refused, Limits()).technique == "round"
    assert milder.milder(frontier(*forms), Limits(bundle_mb=0.00025)).technique == "thin"
    assert milder.milder(refused, Limits(bundle_mb=0.00025)) is None


@pytest.fixture
def proven(monkeypatch):
    """Return what ships where the bundles that are named are refused, and what was said."""

    def make(refused, forms, *, made="other"):
        told, asked = [], []

        def prove(life, built):
            asked.append(built.bundle)
            if built.bundle not in refused:
                check = Check(name="compression", passed=True, statement=f"{built.bundle} is fine.")
                return Proof(
                    bundle=built.bundle,
                    evaluation=None,
                    blessing=Blessing(blessed=True, checks=(check,)),
                )
            check = Check(
                name="compression", passed=True, statement=f"{REFUSED}{built.bundle} is bad."
            )
            blessing = Blessing(blessed=True, checks=(check,))
            return Proof(bundle=built.full, evaluation=None, blessing=blessing)

        def rebuilt(life, recipe, built, way):
            candidates = tuple(replace(c, chosen=c is way) for c in built.frontier.candidates)
            return replace(
                built, bundle=made, frontier=replace(built.frontier, candidates=candidates)
            )

        monkeypatch.setattr(proving, "prove", prove)
        monkeypatch.setattr(milder, "rebuilt", rebuilt)
        config = SimpleNamespace(goal=SimpleNamespace(limits=Limits()))
        life = SimpleNamespace(notify=lambda progress: told.append(progress.message), config=config)
        built = Built(bundle="small", full="full", frontier=frontier(*forms, CHOSEN))
        return *milder.proven(life, Recipe(members=()), built), asked, told

    return make


MILD = form("round", 300, 0.001)


def test_what_is_not_refused_ships(proven):
    built, proof, asked, told = proven((), (MILD,))
    assert (built.bundle, proof.bundle, asked, told) == ("small", "small", ["small"], [])


def test_what_is_refused_gives_way_to_one_that_loses_less(proven):
    built, proof, asked, told = proven(("small",), (MILD,))
    assert (built.bundle, proof.bundle, asked) == ("other", "other", ["small", "other"])
    assert told == ["The test rows refuse it; round loses less."]
    (check,) = [one for one in proof.blessing.checks if one.name == "compression"]
    assert check.statement == (
        "other is fine. It ships in place of cut, which failed: small is bad."
    )
    assert [one.technique for one in built.frontier.candidates if one.chosen] == ["round"]


@pytest.mark.parametrize(
    ("refused", "forms", "made", "asked"),
    [
        (("small", "other"), (MILD,), "other", ["small", "other"]),
        (("small",), (), "other", ["small"]),
        # It could not be made: the whole would ship, or the same again.
        (("small",), (MILD,), "full", ["small"]),
        (("small",), (MILD,), "small", ["small"]),
    ],
)
def test_the_whole_ships_where_there_is_no_other_that_is_proven(
    proven, refused, forms, made, asked
):
    built, proof, found, _ = proven(refused, forms, made=made)
    assert (built.bundle, proof.bundle, found) == ("small", "full", asked)
    assert proof.blessing.checks[-1].statement == f"{REFUSED}small is bad."


def test_the_whole_ships_where_the_other_cannot_be_proven_to_be_its_graph(proven, monkeypatch):
    proven((), (MILD,))  # sets up what follows

    def fails(*_):
        raise ParityError("its graph predicts otherwise")

    monkeypatch.setattr(milder, "rebuilt", fails)
    check = Check(name="compression", passed=True, statement=f"{REFUSED}small is bad.")
    first = Proof(bundle="full", evaluation=None, blessing=Blessing(blessed=True, checks=(check,)))
    monkeypatch.setattr(proving, "prove", lambda life, built: first)
    life = SimpleNamespace(
        notify=lambda progress: None,
        config=SimpleNamespace(goal=SimpleNamespace(limits=Limits())),
    )
    built = Built(bundle="small", full="full", frontier=frontier(MILD, CHOSEN))
    assert milder.proven(life, Recipe(members=()), built) == (built, first)


@pytest.mark.long
def test_a_run_ships_the_milder_form_and_does_it_once(
    loans_csv, tmp_path, searching_here, monkeypatch
):
    from raymm.evaluation import compressed

    held, seen = compressed.compressed, []

    def first_fails(pair, **how):
        check = held(pair, **how)
        seen.append(check)
        return replace(check, passed=False) if len(seen) == 1 else check

    monkeypatch.setattr(compressed, "compressed", first_fails)
    config = parse(
        {
            "name": "loans",
            "data": {"source": str(loans_csv), "target": "approved"},
            "search": {"trials": 2, "families": ["lightgbm"], "parallel": 1},
            "compression": {"max_loss": 0.05, "techniques": ["truncate", "quantize"]},
            "storage": str(tmp_path),
        }
    )
    stages = []
    run = lifecycle.run(config, notify=lambda progress: stages.append(progress.stage))
    assert len(seen) == 2
    (check,) = [one for one in run.blessing.checks if one.name == "compression"]
    assert "It ships in place of" in check.statement
    assert run.promoted
    (form_,) = [one for one in run.frontier.candidates if one.chosen]
    assert form_.technique != "none"
    told = run.summary()
    assert told["bundle_bytes"] < told["packed_bytes"] < told["uncompressed_bytes"]
    same, stored, _ = lifecycle.replay(str(tmp_path), "loans", run.version.number)
    assert same
    assert Registry(str(tmp_path)).champion("loans").bundle == stored
    again = lifecycle.run(config)
    assert (again.version.bundle, len(seen)) == (stored, 2)
    picked = picking.pick(str(tmp_path), "loans", 1, "none", source=None, notify=lambda _: None)
    size = len(Registry(str(tmp_path)).bundle(picked.version))
    assert size == told["packed_bytes"]

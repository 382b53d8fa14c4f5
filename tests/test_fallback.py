"""What the search found is shipped in another form where a graph cannot be proven."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from raymm import fallback
from raymm.artifacts import Finding, Member, Recipe, Trial, Trials
from raymm.errors import ParityError
from raymm.search.ledger import Ledger


def trial(number, family, **more):
    config = {"family": family, "leaves": number, **more}
    value = 0.9 - number / 100
    return Trial(
        id=str(number),
        number=number,
        config=config,
        status="finished",
        value=value,
        rungs=((1, value),),
    )


TRIALS = [
    trial(0, "lightgbm", target="log"),
    trial(1, "lightgbm", target="log"),
    trial(2, "xgboost", target="log"),
    trial(3, "lightgbm"),
    *(trial(k, "lightgbm") for k in range(4, 9)),
]
BOARD = Trials(trials=tuple(TRIALS), direction="maximize", metric="r2", seconds=1.0)
MIX = Recipe(members=(Member(trial=TRIALS[0], weight=0.6), Member(trial=TRIALS[2], weight=0.4)))


@pytest.fixture
def life(tmp_path):
    with Ledger.open(str(tmp_path), "r-1") as ledger:
        yield SimpleNamespace(ledger=ledger, notify=lambda progress: None)


@pytest.fixture
def build(monkeypatch):
    """Build the recipes that ``sound`` says yes to; tells which were asked for."""
    made = SimpleNamespace(asked=[], sound=lambda recipe: True)

    def one(life, recipe):
        made.asked.append([member.trial.number for member in recipe.members])
        if not made.sound(recipe):
            raise ParityError(f"they differ for {{'secret': {len(made.asked)}}}.")
        return "built"

    monkeypatch.setattr(fallback, "build", one)
    return made


def test_a_sound_graph_is_built_as_it_was_chosen(life, build):
    records = len(life.ledger)
    recipe, _ = fallback.built(life, BOARD, MIX)
    assert recipe is MIX
    assert build.asked == [[0, 2]]
    assert len(life.ledger) == records


def test_the_best_alone_comes_next_and_then_what_is_unlike_it(life, build):
    build.sound = lambda recipe: recipe.members[0].trial.number == 3
    recipe, _ = fallback.built(life, BOARD, MIX)
    assert build.asked == [[0, 2], [0], [2], [3]]
    assert recipe.deciding() == Recipe.of(TRIALS[3]).deciding()
    [finding] = recipe.findings
    assert finding.policy == "parity"
    assert "Trial 3" in finding.statement
    assert "0, 2" in finding.statement
    assert "secret" not in finding.statement


def test_the_same_run_again_goes_to_what_was_built(life, build):
    build.sound = lambda recipe: len(recipe.members) == 1
    first, _ = fallback.built(life, BOARD, MIX)
    build.asked.clear()
    again, _ = fallback.built(life, BOARD, MIX)
    assert again == first
    assert build.asked == [[0]]


def test_where_none_can_be_proven_the_first_error_is_told(life, build):
    build.sound = lambda recipe: False
    with pytest.raises(ParityError, match="secret': 1"):
        fallback.built(life, BOARD, Recipe.of(TRIALS[0]))
    assert build.asked == [[0], [2], [3], [1], [4], [5]]


@pytest.mark.parametrize(("calibration", "stays"), [((1.0, 0.0), True), ((1.2, 0.1), False)])
def test_a_moved_decision_stays_unless_probabilities_were_mended(life, build, calibration, stays):
    build.sound = lambda recipe: recipe.calibration == (1.0, 0.0) and len(recipe.members) == 1
    moved = Finding(policy="decision", kept=True, statement="moved")
    mended = Finding(policy="calibration", kept=True, statement="mended")
    chosen = Recipe(
        members=MIX.members,
        calibration=calibration,
        decision=(0.2, 0.8),
        findings=(mended, moved),
    )
    recipe, _ = fallback.built(life, BOARD, chosen)
    assert recipe.decision == ((0.2, 0.8) if stays else ())
    assert [one.policy for one in recipe.findings] == (["decision"] * stays + ["parity"])

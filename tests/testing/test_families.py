from __future__ import annotations

import numpy as np
import pytest

from raymm.artifacts import Float
from raymm.models import forest
from raymm.models.family import Family
from raymm.models.linear import Linear
from raymm.plugins import families
from raymm.testing import families as laws
from raymm.testing.families import check_family


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in families.names() if name != "catboost"])
def test_the_families_of_raymm_keep_the_laws(name, monkeypatch):
    monkeypatch.setattr(forest, "TREES", (20, 10))
    check_family(families.get(name)())


class Broken(Linear):
    """A family that breaks one law at a time."""

    def __init__(self, fault):
        self.fault = fault
        self.count = 0

    def space(self, task, shape):
        return {"C": Float(2.0, 3.0)} if self.fault == "space" else super().space(task, shape)

    def fit(self, config, train, how):
        self.count += 1
        if self.fault == "repeat":
            config = {"C": float(self.count), "alpha": float(self.count)}
        return super().fit(config, train, how)

    def predict(self, model, x, share=1.0):
        out = super().predict(model, x, share)
        if self.fault == "graph":
            return out * 0.99 if out.ndim == 1 else out**1.01 / (out**1.01).sum(1, keepdims=True)
        if self.fault == "sum":
            return out * 1.1
        return np.full_like(out, out.mean()) if self.fault == "learning" else out


@pytest.mark.parametrize(
    ("fault", "law", "said"),
    [
        ("space", laws.check_portfolio, "lie in the space"),
        ("repeat", laws.check_seed, "must repeat"),
        ("graph", laws.check_graph, "must give the predictions"),
        ("sum", laws.check_graph, "sum to 1"),
        ("learning", laws.check_learning, "must"),
    ],
)
def test_a_broken_law_is_named(fault, law, said):
    arguments = () if law is laws.check_portfolio else ("binary",)
    law(Linear(), *arguments)
    with pytest.raises(AssertionError, match=said):
        law(Broken(fault), *arguments)


class Stubborn(Linear):
    """Trains on to something else than what it would have become."""

    def max_rounds(self, config):
        return 10

    def extend(self, model, rounds):
        return model

    def fit(self, config, train, how):
        return super().fit({"C": how.rounds, "alpha": how.rounds}, train, how)


def test_training_on_must_be_training_longer():
    with pytest.raises(AssertionError, match="extend must give"):
        laws.check_more(Stubborn(), "binary")
    assert issubclass(Stubborn, Family)

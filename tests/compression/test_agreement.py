from __future__ import annotations

import numpy as np
import pytest

from raymm.bundle.parity import adversarial
from raymm.compression import agreement
from raymm.compression.agreement import require_agreement
from raymm.errors import ParityError


@pytest.fixture
def hard(dataset):
    def make(data):
        generator = np.random.default_rng(0)
        return adversarial(data.rows(data.train), data.schema, generator=generator, count=300)

    return make


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("family", ["lightgbm", "forest", "linear"])
def test_graphs_of_ours_agree_on_hard_rows(dataset, trained, hard, task, family):
    data = dataset(task)
    worst = require_agreement(trained(data, family, 20)[0], hard(data))
    assert (worst == 0) == (family == "linear")


def test_a_graph_that_takes_a_wrong_branch_is_refused(dataset, trained, hard, monkeypatch):
    data = dataset("binary")
    bundle, _ = trained(data)
    tensors = hard(data)
    read = agreement.tapped

    features = agreement.tree_nodes(bundle)[1][0].input[0]

    def moved(bundle, name, tensors):
        """The features of one row are other ones for the reference alone."""
        found = read(bundle, name, tensors)
        if name == features:
            found[5] += 1
        return found

    monkeypatch.setattr(agreement, "tapped", moved)
    with pytest.raises(ParityError, match="must add up"):
        require_agreement(bundle, tensors)


def test_margins_that_are_not_finite_are_refused(dataset, trained, hard, monkeypatch):
    data = dataset("binary")
    bundle, _ = trained(data)
    read = agreement.tapped
    monkeypatch.setattr(agreement, "tapped", lambda *given: read(*given) * np.float32(np.nan))
    with pytest.raises(ParityError):
        require_agreement(bundle, hard(data))

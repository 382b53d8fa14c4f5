"""Compressed forms beside the models they were made of."""

from __future__ import annotations

import numpy as np
import pytest

from raymm import forms
from raymm.artifacts import Candidate, Score
from raymm.bundle import build
from raymm.errors import ParityError


def candidate(technique, parameters):
    return Candidate(
        technique=technique,
        parameters=parameters,
        score=0.0,
        loss=Score(metric="m", value=0.0, low=0.0, high=0.0),
        bytes=1,
        row_microseconds=1.0,
    )


@pytest.mark.parametrize(
    ("technique", "parameters", "share"),
    [
        ("none", {}, 1.0),
        ("truncate", {"keep": 0.25}, 0.25),
        ("prune", {"size": 1.0}, 1.0),
        ("prune", {"size": 0.3}, None),
        ("truncate+quantize", {"truncate.keep": 0.25, "quantize.bits": 8}, None),
        ("prune_linear", {"share": 0.5}, None),
    ],
)
def test_parity_with_the_models_holds_where_leaves_are_theirs(technique, parameters, share):
    assert forms.kept_share(candidate(technique, parameters)) == share


def test_a_graph_of_other_rows_is_refused(finished):
    run = finished.runs[0]
    dataset, made = run.dataset, []
    for rows in (dataset.train, dataset.train[:400]):
        made.append(
            build.build(
                dataset,
                run.recipe,
                rows=rows,
                statistics=run.statistics,
                lineage=run.bundle.lineage,
                threads=1,
                check_rows=None,
            )
        )
    (own, blend), (other, _) = made
    assert np.isfinite(blend.predict(dataset.rows(dataset.test[:5]))).all()
    how = {"dataset": dataset, "rows": dataset.train, "blend": blend, "seed": 0}
    whole = candidate("truncate", {"keep": 1.0})
    forms.require_parity(own, whole, **how)
    with pytest.raises(ParityError):
        forms.require_parity(other, whole, **how)
    # Of other leaves the models say nothing; the bundle as it was is proven already.
    forms.require_parity(other, candidate("prune", {"size": 0.3}), **how)
    forms.require_parity(other, candidate("none", {}), **how)

from __future__ import annotations

import numpy as np

from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.units import units, write


def test_members_that_are_added_up_are_one_unit_and_written_back_as_one(mix):
    bundle, data = mix(families=("lightgbm", "xgboost", "forest", "linear"), weights=(0.25,) * 4)
    _, apart = units(bundle, joined=False)
    assert [one.group for one in apart] == [None] * 3
    model, (one,) = units(bundle, joined=True)
    assert one.group is not None
    assert len(one.trees.roots) == sum(len(other.trees.roots) for other in apart)
    write(model, [one], [one.trees])
    graph = model.SerializeToString()
    made = Bundle(
        graph=graph, schema=bundle.schema, statistics=bundle.statistics, lineage=bundle.lineage
    )
    before, after = (Runner(form).predict(data.rows(data.test)) for form in (bundle, made))
    # Float32 sums of 260 leaves, of values near 50.
    assert np.allclose(before, after, rtol=1e-5)


def test_where_nothing_is_added_up_each_node_is_a_unit(mix):
    bundle, _ = mix("binary")
    model, given = units(bundle, joined=True)
    assert [one.group for one in given] == [None, None]
    write(model, given, [one.trees.first(1) for one in given])
    _, short = units(
        Bundle(
            graph=model.SerializeToString(),
            schema=bundle.schema,
            statistics=bundle.statistics,
            lineage=bundle.lineage,
        ),
        joined=True,
    )
    assert [len(one.trees.roots) for one in short] == [1, 1]

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnxruntime

from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.grove import cells
from raymm.compression.units import units, write
from raymm.onnx_builder import FLOAT, GraphBuilder


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


def test_the_smallest_up_to_a_size_are_held_and_groups_are_held_whole(mix):
    bundle, _ = mix("multiclass", ("lightgbm", "forest"), (0.5, 0.5))
    sizes = [cells(one.trees) for one in units(bundle, joined=True)[1]]
    for most, held in ((sum(sizes), 2), (sum(sizes) - 1, 1), (min(sizes) - 1, 0)):
        found = units(bundle, joined=True, most=most)[1]
        assert [cells(one.trees) for one in found] == [
            one for one in sizes if one in sorted(sizes)[:held]
        ]
        assert len(found) == held
    bundle, _ = mix()
    size = sum(cells(one.trees) for one in units(bundle, joined=False)[1])
    for most, held in ((size, (1, 2)), (size - 1, (0, 0))):
        found = [units(bundle, joined=joined, most=most)[1] for joined in (True, False)]
        assert tuple(map(len, found)) == held


def test_a_group_is_written_in_its_own_place_where_one_before_it_is_left_out(random_trees):
    builder = GraphBuilder()
    columns = [builder.input(f"f{place}", FLOAT) for place in range(3)]
    first = builder.node("Concat", columns, axis=1)
    second = builder.node("Concat", columns[::-1], axis=1)
    parts = []
    for seed, (tensor, count) in enumerate([(first, 40), (first, 40), (second, 3), (second, 3)]):
        made = random_trees(seed, count=count, width=1).to_onnx(builder, tensor)
        parts.append(builder.node("Mul", [made, builder.constant(2.0 + seed)]))
    out = builder.node("Sum", parts)
    graph = builder.model([(out, "out", FLOAT, ["n", 1])]).SerializeToString()
    bundle = SimpleNamespace(graph=graph)
    large, small = units(bundle, joined=True)[1]
    model, (held,) = units(bundle, joined=True, most=cells(large.trees) - 1)
    assert cells(held.trees) == cells(small.trees) < cells(large.trees)
    write(model, [held], [held.trees])
    x = np.random.default_rng(0).uniform(-1, 6, (200, 3)).astype(np.float32)
    given = {f"f{place}": x[:, place : place + 1] for place in range(3)}
    before, after = (
        onnxruntime.InferenceSession(one).run(None, given)[0]
        for one in (graph, model.SerializeToString())
    )
    assert np.ptp(before) > 10
    assert np.allclose(before, after, atol=1e-3)

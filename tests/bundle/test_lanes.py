from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from raymm.bundle import lanes
from raymm.bundle.lanes import LINE, Reader
from raymm.features.normal_score import NormalScore
from raymm.onnx_builder import FLOAT, GraphBuilder


def read(build, columns=2):
    builder = GraphBuilder()
    names = [builder.input(f"x{number}", FLOAT) for number in range(columns)]
    builder.reserve("out")
    graph = builder.model([(build(builder, names), "out", FLOAT, ["n", None])]).graph
    reader = Reader(graph)
    return reader, reader.lanes(reader.concats())


def line(builder, tensor, pieces, zero=0.0, width=1.0):
    row = builder.constant(np.arange(pieces)[None, :])
    way = builder.node("Max", [builder.node("Sub", [tensor, row]), builder.constant(zero)])
    way = builder.node("Min", [way, builder.constant(np.full((1, pieces), width))])
    return builder.node("MatMul", [way, builder.constant(np.ones((pieces, 1)))])


def even_line(builder, tensor, pieces):
    score = NormalScore()
    score.knots = score.scores = np.arange(pieces + 1.0)
    return score.to_onnx(builder, tensor)


def test_steps_differ_in_numbers_alone():
    def build(builder, names):
        made = [
            builder.node("Mul", [builder.node("Sub", [x, builder.constant(shift)]), x])
            for x, shift in zip(names, (1.0, [[2.0]]), strict=True)
        ]
        return builder.node("Concat", made, axis=1)

    _, lanes = read(build)
    assert [lane.column for lane in lanes] == ["x0", "x1"]
    assert lanes[0].kind == lanes[1].kind
    assert [step.node.op_type for step in lanes[0].steps] == ["Sub", "Mul"]
    assert lanes[1].steps[0].constant(1) == 2.0
    assert lanes[0].steps[1].operands == (0, -1)


def test_broken_lines_are_one_step_and_alike_where_pieces_are_about_as_many():
    def build(builder, names):
        made = [line(builder, x, count) for x, count in zip(names, (5, 7, 9), strict=True)]
        return builder.node("Concat", made, axis=1)

    _, lanes = read(build, columns=3)
    assert [len(lane.steps) for lane in lanes] == [1, 1, 1]
    assert [lane.pieces for lane in lanes] == [5, 7, 9]
    assert lanes[0].kind == lanes[1].kind != lanes[2].kind
    assert lanes[0].kind[0][0] == LINE


@pytest.mark.parametrize(
    ("knots", "width", "even"),
    [
        ([0, 1, 2], 1, True), ([-7.5, -7, -6.5], 0.5, True), ([0, 1, 3], 1, False),
        ([np.inf, np.inf], 1, False), ([-np.inf, -np.inf], 1, False), ([1e17, 1e17], 1, False),
    ],
)  # fmt: skip
def test_even_pieces_lie_each_beyond_the_last(knots, width, even):
    knots = np.array(knots, np.float64)
    assert lanes._even(knots, np.full(len(knots), width, np.float64)) == even


def test_a_long_line_of_even_pieces_makes_no_short_one_as_long():
    def build(builder, names):
        made = [
            even_line(builder, x, count) for x, count in zip(names, (3, 31, 40, 900), strict=True)
        ]
        return builder.node("Concat", made, axis=1)

    _, found = read(build, columns=4)
    kinds = [lane.kind for lane in found]
    assert kinds[0] == kinds[1] != kinds[2] != kinds[3]


@pytest.mark.parametrize(
    "step",
    [
        lambda builder, x: builder.node("Neg", [x]),  # not among what is known
        lambda builder, x: builder.node("Add", [x, builder.constant([[1.0, 2.0]])]),
        lambda builder, x: line(builder, x, 4, zero=1.0),
        *(lambda builder, x, w=w: line(builder, x, 4, width=w) for w in (0.0, -1.0, 1e-45, np.inf)),
    ],
)
def test_what_is_not_known_makes_no_lane(step):
    def build(builder, names):
        made = [step(builder, names[0]), builder.node("Abs", [names[1]])]
        return builder.node("Concat", made, axis=1)

    _, lanes = read(build)
    assert [lane.column for lane in lanes] in ([], ["x1"])


def test_widths_are_those_of_the_matrices():
    def build(builder, names):
        pair = builder.node("Concat", names, axis=1)
        wide = builder.node("MatMul", [pair, builder.constant(np.ones((2, 5)))])
        picked = builder.node("Gather", [wide, builder.constant([0, 2, 4], np.int64)], axis=1)
        inner = builder.node("Concat", [names[1], picked], axis=1)
        bits = builder.node("Cast", [wide], to=TensorProto.UINT8)
        bits = builder.node("BitwiseAnd", [bits, builder.constant(np.ones((1, 5)), np.uint8)])
        return builder.node("Concat", [inner, names[0], pair, bits], axis=1)

    reader, _ = read(build)
    widths = [[reader.width(part) for part in parts] for parts in reader.concats().values()]
    # A Concat that others read too stands alone and is a part; `inner` is as its two parts.
    assert widths == [[1, 1], [1, 3, 1, 2, 5]]
    assert reader.width("nothing of this name") is None


def test_parts_and_columns_are_bounded_in_all_concats_together(monkeypatch):
    def build(builder, names):
        wide = builder.constant(np.ones((1, 40)))
        made = [
            builder.node("Abs", [builder.node("Concat", [wide, name], axis=1)])
            for name in (*names, *names)
        ]
        return builder.node("Add", made[:2])

    assert len(read(build)[0].concats()) == 4
    monkeypatch.setattr(lanes, "WIDEST", 100)
    reader, _ = read(build)
    assert len(reader.concats()) == 2
    monkeypatch.setattr(lanes, "MOST_PARTS", 8)
    read(build)
    monkeypatch.setattr(lanes, "MOST_PARTS", 7)
    with pytest.raises(ValueError, match="7 parts at most"):
        read(build)

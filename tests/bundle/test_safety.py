from __future__ import annotations

import contextlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from raymm.bundle.graph import to_graph
from raymm.bundle.pipeline import fit
from raymm.bundle.safety import OPERATORS, require_safe
from raymm.errors import BundleError, MissingExtra
from raymm.plugins import families


def external() -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(3, dtype=np.float32), "weights")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return tensor


def model(nodes=(), initializers=(), opsets=("",)) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    graph = helper.make_graph(list(nodes), "g", [], [value], list(initializers))
    domains = [helper.make_opsetid(domain, 20) for domain in opsets]
    return helper.make_model(graph, opset_imports=domains)


def constant(tensor, **more):
    return helper.make_node("Constant", [], ["y"], value=tensor, **more)


def branch(node):
    return helper.make_graph([node], "branch", [], [])


def within_if(node):
    return helper.make_node("If", ["c"], ["y"], then_branch=branch(node), else_branch=branch(node))


def sparse():
    indices = numpy_helper.from_array(np.zeros(3, dtype=np.int64), "i")
    made = onnx.SparseTensorProto(dims=[3], indices=indices)
    made.values.CopyFrom(external())
    return made


def with_function(node):
    made = model()
    function = helper.make_function("", "f", [], ["y"], [node], [helper.make_opsetid("", 20)])
    made.functions.append(function)
    return made


def with_training(node):
    made = model()
    made.training_info.add().algorithm.CopyFrom(branch(node))
    return made


def with_sparse_initializer():
    made = model()
    made.graph.sparse_initializer.append(sparse())
    return made


LARGE = (
    *("Loop", "Scan", "Expand", "Tile", "Range", "ConstantOfShape", "Pad", "Resize", "OneHot"),
    *("Upsample", "EyeLike", "RandomNormal", "Einsum", "SequenceMap", "CenterCropPad", "Any"),
)
CUSTOM = helper.make_node("Evil", [], ["y"], domain="com.example")
PLAIN = numpy_helper.from_array(np.zeros(3, dtype=np.float32), "weights")


@pytest.mark.parametrize(
    "made",
    [
        model(initializers=[external()]),
        model([constant(external())]),
        model([within_if(constant(external()))]),
        model([within_if(within_if(constant(external())))]),
        model([helper.make_node("Constant", [], ["y"], sparse_value=sparse())]),
        model([helper.make_node("Any", [], ["y"], several=[external()])]),
        with_function(constant(external())),
        with_function(within_if(constant(external()))),
        with_training(constant(external())),
        with_sparse_initializer(),
    ],
)
def test_external_data_is_refused_wherever_it_hides(made):
    with pytest.raises(BundleError, match="refers to a file"):
        require_safe(made.SerializeToString())


@pytest.mark.parametrize(
    "made",
    [
        model([CUSTOM]),
        model([within_if(CUSTOM)]),
        model(opsets=("", "com.example")),
        with_function(CUSTOM),
    ],
)
def test_other_domains_are_refused(made):
    with pytest.raises(BundleError, match="domains"):
        require_safe(made.SerializeToString())


@pytest.mark.parametrize("data", [b"", b"not a model", b"\xff" * 50])
def test_other_bytes_are_refused(data):
    with pytest.raises(BundleError, match="graph"):
        require_safe(data)


def test_a_plain_graph_passes():
    assert require_safe(model([constant(PLAIN)], [PLAIN]).SerializeToString()) == 1


def within(node):
    """Return an operator that is listed, with a graph in an attribute."""
    return helper.make_node("Identity", ["x"], ["y"], body=branch(node))


def plain_sparse():
    made = sparse()
    made.values.CopyFrom(PLAIN)
    return made


def sparse_model():
    made = model()
    made.graph.sparse_initializer.append(plain_sparse())
    return made


@pytest.mark.parametrize(
    ("made", "told"),
    [
        *((model([helper.make_node(one, ["x"], ["y"])]), one) for one in LARGE),
        (model([within_if(constant(PLAIN))]), "the operator If"),
        (model([within(constant(PLAIN))]), "a graph within Identity"),
        (with_function(constant(PLAIN)), "functions"),
        (with_training(constant(PLAIN)), "training graphs"),
        (sparse_model(), "sparse"),
        (model([helper.make_node("Constant", [], ["y"], sparse_value=plain_sparse())]), "sparse"),
        (model([helper.make_node("Conv", ["x", "w"], ["y"], pads=[0, 65])]), "pads above 64"),
    ],
)
def test_what_may_take_any_time_or_memory_is_refused(made, told):
    with pytest.raises(BundleError, match=told):
        require_safe(made.SerializeToString())


def test_the_listed_operators_are_those_of_onnx():
    known = {one.name for one in onnx.defs.get_all_schemas()} | {"Tokenizer"}
    # Some of the newest are not in every release of ONNX.
    assert known >= OPERATORS - {"Swish", "RMSNormalization", "Attention", "TreeEnsemble"}


def test_the_longest_side_of_a_matrix_is_told():
    wide = numpy_helper.from_array(np.zeros((3, 70), np.float32), "wide")
    long = numpy_helper.from_array(np.zeros(900, np.float32), "long")
    assert require_safe(model([constant(PLAIN)], [wide, long]).SerializeToString()) == 70


def test_sets_of_several_features_count_together():
    widths = {"few": 40, "many": 70}
    masks = [
        numpy_helper.from_array(np.ones((1, width), np.uint8), name)
        for name, width in widths.items()
    ]
    sets = [
        helper.make_node("BitwiseAnd", [f"x{number}", name], [f"y{number}"])
        for number, name in enumerate(("few", "many", "few", "computed"))
    ]
    assert require_safe(model(sets, masks).SerializeToString()) == 150
    assert require_safe(model(sets[:1], masks).SerializeToString()) == 70


@pytest.mark.parametrize(
    ("operator", "domain", "passes"),
    [
        ("QuantizeLinear", "", True),
        ("MatMulInteger", "", True),
        ("Cast", "", True),
        ("QGemm", "com.microsoft", False),
        ("Tokenizer", "com.microsoft", True),
        ("Tokenizer", "com.example", False),
        ("MatMulIntegerToFloat", "com.microsoft", False),
    ],
)
def test_whole_numbers_are_in_the_standard_operators_alone(operator, domain, passes):
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    data = model([node], [PLAIN]).SerializeToString()
    if passes:
        assert require_safe(data) == 1
    else:
        with pytest.raises(BundleError, match="domains"):
            require_safe(data)


def operators(graph):
    return {node.op_type for node in onnx.ModelProto.FromString(graph).graph.node}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_graphs_of_every_family_pass(make_dataset, task):
    data = make_dataset(task, rows=300)
    seen = set()
    for name in families.names():
        with contextlib.suppress(MissingExtra):
            graph = to_graph(fit(data, data.train, {"family": name}, rounds=3, seed=0, threads=1))
            require_safe(graph)
            seen |= operators(graph)
    assert len(seen) > 20

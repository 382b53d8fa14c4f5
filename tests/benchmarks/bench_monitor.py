"""Whether the monitor is right: false alarms, shifts, bursts, memory, late labels, estimates.

Null stream: 20 features and the predictions without any change, ``--days`` simulated days of 24
windows of 1,000 rows; the predictions' reference are 200 test rows, the least that are one.
At most 1 % of days may have an alarm, the upper end of the one-sided 95 % bound of Clopper and
Pearson at 1.6 %. Crowded: the same of five columns of 60 to 20,000 categories, more than are listed
by name. Labelled: the same of what is told of predictions, quality and calibration by 1,500 labels
a day, a day late. Shift: 0.2 deviations in one feature, from a random place in a window on, must be
found within 2,000 rows in at least 95 % of ``--trials``; a burst of missing values from none to 5 %
within 500 rows. Beside it, on the same rows, a population stability index over 0.1 in ten bins, and
Evidently's default for a column as its documentation states it (made anew here, since the package
is heavy): with over 1,000 reference rows the Wasserstein distance in reference deviations over 0.1,
else Kolmogorov and Smirnov's p-value under 0.05; and the share of missing values by its own test's
rule of thumb, over the reference's by a tenth. Memory: ``--rows`` rows of 100 features may add 100
MB at most. Labels: 30 % late, 10 % doubled, 5 % orphaned, out of order; quality must equal scikit-
learn's on the table, the calibration error the evaluation's. Estimates: accuracy without labels
under covariate shift, five tables, ten shifts each: the mean absolute error may be 0.02 at most;
and where what rows mean is changed, which no estimate sees, the report says so, and is right again
once labels come. Its reliability is counted on a third of each table. Exits with 1 where any is
missed.

    python tests/benchmarks/bench_monitor.py
        [--only null,crowded,labelled,shift,burst,memory,labels,estimates] [--days 1000]
        [--trials 400] [--rows 10000000] [--data ../shared/data]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from scipy.stats import beta, ks_2samp, wasserstein_distance

from raymm.artifacts import (
    Batch,
    Column,
    Feedback,
    ManyValues,
    Predictions,
    Statistics,
    Target,
    as_record,
)
from raymm.data.statistics import of_tensor
from raymm.evaluation.calibration import CalibrationError
from raymm.monitoring.drift import Drift
from raymm.monitoring.estimates import Estimate, reliability
from raymm.monitoring.news import News
from raymm.monitoring.observer import Observer
from raymm.monitoring.predictions import LEAST_ROWS, bins_of, described, predicted
from raymm.sections import MonitoringConfig

FEATURES, REFERENCE, WINDOW, WINDOWS_A_DAY = 20, 10_000, 1000, 24
MOST_DAYS, MOST_BOUND, LEAST_FOUND, MOST_MB, MOST_ERROR = 0.01, 0.016, 0.95, 100.0, 0.02
RIVAL_DAYS = 40


class Clock:
    """Seconds that pass only when told to."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def statistics_of(columns: dict[str, np.ndarray]) -> Statistics:
    rows = len(next(iter(columns.values())))
    made = tuple(
        of_tensor(values, Column(name=name, kind="number")) for name, values in columns.items()
    )
    return Statistics(rows=rows, columns=made)


def categories_of(columns: dict[str, np.ndarray]) -> Statistics:
    known = [Column(name=name, kind="category") for name in columns]
    return Statistics(
        rows=len(next(iter(columns.values()))),
        columns=tuple(of_tensor(columns[one.name], one) for one in known),
        many=tuple(ManyValues.of(name, Counter(words)) for name, words in columns.items()),
    )


def told(values: dict[str, np.ndarray], predictions: np.ndarray | None = None) -> Batch:
    rows = len(next(iter(values.values())))
    kept = np.empty(0) if predictions is None else predictions
    return Batch(rows=rows, version=1, seconds=0.01, tensors=values, predictions=kept)


def likely(generator: np.random.Generator, rows: int) -> np.ndarray:
    """Return probabilities of two classes, most of them for the first."""
    p = generator.beta(0.5, 2, size=rows)
    return np.column_stack([1 - p, p])


# ------------------------------------------------------------------------------------- the rivals


class Rivals:
    """What others would say of one column's rows, by its reference."""

    def __init__(self, reference: np.ndarray) -> None:
        self.reference, self.few = np.sort(reference), reference[:1000]
        self.edges = np.quantile(reference, np.arange(1, 10) / 10)
        self.shares = self._shares(reference)
        self.deviation = max(float(reference.std()), 0.001)

    def _shares(self, values: np.ndarray) -> np.ndarray:
        counts = np.bincount(np.searchsorted(self.edges, values), minlength=10)
        return np.maximum(counts / len(values), 1e-4)

    def alarms(self, values: np.ndarray) -> dict[str, bool]:
        known = values[~np.isnan(values)]
        p, q = self._shares(known), self.shares
        distance = wasserstein_distance(self.reference, known) / self.deviation
        return {
            "PSI > 0.1": bool(np.sum((p - q) * np.log(p / q)) > 0.1),
            "Evidently, reference 10,000": distance > 0.1,
            "Evidently, reference 1,000": ks_2samp(self.few, known).pvalue < 0.05,
            "missing > 10 % more": bool(np.isnan(values).mean() > 0.1),
        }


# ----------------------------------------------------------------------- false alarms and power


def stream(seed: int) -> tuple[Drift, Clock, np.random.Generator, dict[str, np.ndarray]]:
    generator, clock = np.random.default_rng([seed, 3]), Clock()
    columns = {f"f{n}": generator.normal(size=REFERENCE) for n in range(FEATURES)}
    known = Predictions(column=bins_of(predicted(likely(generator, LEAST_ROWS))))
    statistics = described(statistics_of(columns), known)
    drift = Drift(statistics, config=MonitoringConfig(window=WINDOW), clock=clock)
    return drift, clock, generator, columns


def normal(generator: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    drawn = generator.standard_normal((FEATURES, rows), dtype=np.float32)
    return {f"f{n}": values for n, values in enumerate(drawn)}


def null(days: int) -> bool:
    """Count days with an alarm; each ten days have a reference of their own."""
    bad, rival_days = 0, dict.fromkeys(("PSI > 0.1", "Evidently, reference 10,000"), 0)
    rival_days["Evidently, reference 1,000"] = 0
    seen = 0
    for day in range(days):
        if day % 10 == 0:
            drift, clock, generator, columns = stream(day)
            rivals = {name: Rivals(values) for name, values in columns.items()}
        alarm, others = False, dict.fromkeys(rival_days, False)
        watch_others = day % max(days // RIVAL_DAYS, 1) == 0
        seen += watch_others
        for _ in range(WINDOWS_A_DAY):
            clock.now += 86400 / WINDOWS_A_DAY
            rows = normal(generator, WINDOW)
            drift.update(told(rows, likely(generator, WINDOW)))
            report = drift.report()
            alarm |= bool(report["drifted"]) or report["prediction"]["drifted"]
            for name in rows if watch_others else ():
                said = rivals[name].alarms(rows[name])
                others = {key: others[key] or said[key] for key in others}
        bad += alarm
        for key, value in others.items():
            rival_days[key] += value
    print(f"\nDays with a false alarm ({FEATURES} features, {WINDOWS_A_DAY} windows a day)")
    held = seldom(bad, days)
    for key, count in rival_days.items():
        print(f"  {key:<30} {count:>5} of {seen}   {count / seen:.2%}")
    return held


def seldom(bad: int, days: int) -> bool:
    """Print how many days had an alarm, and return whether they are as few as is accepted."""
    bound = float(beta.ppf(0.95, bad + 1, days - bad))
    print(f"  {'raymm':<30} {bad:>5} of {days}   {bad / days:.2%}, at most {bound:.2%}")
    return bad / days <= MOST_DAYS and bound <= MOST_BOUND


def laws() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return columns of many categories: their words, and how probable each is."""
    made = {f"{count} alike": np.ones(count) for count in (60, 200, 2000)}
    made |= {f"{count} by Zipf's law": 1 / np.arange(1.0, count + 1) for count in (300, 20_000)}
    return {
        name: (np.array([f"w{place}" for place in range(len(p))], object), np.cumsum(p / p.sum()))
        for name, p in made.items()
    }


def crowded(days: int) -> bool:
    """Count days with an alarm where columns hold many categories, as `null` does."""
    columns, bad, config = laws(), 0, MonitoringConfig(window=WINDOW)

    def draw(generator: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        return {
            name: words[np.searchsorted(chance[:-1], generator.random(rows))]
            for name, (words, chance) in columns.items()
        }

    for day in range(days):
        if day % 50 == 0:
            generator, clock = np.random.default_rng([day, 4]), Clock()
            drift = Drift(categories_of(draw(generator, REFERENCE)), config=config, clock=clock)
        alarm = False
        for _ in range(WINDOWS_A_DAY):
            clock.now += 86400 / WINDOWS_A_DAY
            drift.update(told(draw(generator, WINDOW)))
            alarm |= bool(drift.report()["drifted"])
        bad += alarm
    print(f"\nDays with a false alarm (columns of {', '.join(columns)})")
    return seldom(bad, days)


def settled(seed: int) -> tuple[Drift, np.random.Generator, dict[str, np.ndarray]]:
    """Return a monitor after two days without change, in a random place of a window."""
    drift, clock, generator, columns = stream(seed)
    for _ in range(48):
        clock.now += 3600
        drift.update(told(normal(generator, WINDOW)))
    drift.update(told(normal(generator, int(generator.integers(1, WINDOW)))))
    return drift, generator, columns


def power(trials: int, rows: int, change: Callable[[np.ndarray], np.ndarray], title: str) -> bool:
    found: dict[str, int] = {}
    before = 0
    for trial in range(trials):
        drift, generator, columns = settled(10_000 + trial)
        before += "f0" in drift.report()["drifted"]
        values = normal(generator, rows)
        values["f0"] = change(values["f0"])
        alarm = False
        for start in range(0, rows, 250):  # as requests come, within the same hour
            drift.update(told({n: v[start : start + 250] for n, v in values.items()}))
            alarm |= "f0" in drift.report()["drifted"]
        said = {"raymm": alarm} | Rivals(columns["f0"]).alarms(values["f0"])
        for key, value in said.items():
            found[key] = found.get(key, 0) + bool(value)
    print(f"\n{title}: found within {rows} rows")
    for key, count in found.items():
        print(f"  {key:<30} {count:>5} of {trials}   {count / trials:.1%}")
    return found["raymm"] / trials >= LEAST_FOUND and before <= trials * 0.02


def shifted(values: np.ndarray) -> np.ndarray:
    return values + np.float32(0.2)


def holed(values: np.ndarray) -> np.ndarray:
    return np.where(np.random.default_rng(int(abs(values[0]) * 1e6)).random(len(values)) < 0.05,
                    np.float32(np.nan), values)  # fmt: skip


# -------------------------------------------------------------------------------------- memory


def memory(rows: int) -> bool:
    """Watch rows in a process of its own, so that its memory is the monitor's alone."""
    command = [sys.executable, __file__, "--watch", str(rows)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    told = json.loads(out.splitlines()[-1])
    print(f"\n{rows:,} rows × 100 features: {told['rows_a_second']:,.0f} rows/s, "
          f"{told['added_mb']:.0f} MB added to {told['before_mb']:.0f} MB")  # fmt: skip
    return told["added_mb"] < MOST_MB


def watch(rows: int) -> None:
    generator = np.random.default_rng(0)
    names = [f"f{n}" for n in range(100)]
    record = as_record(statistics_of({n: generator.normal(size=REFERENCE) for n in names}))
    target = as_record(Target(task="binary", classes=("no", "yes"), metric="roc_auc"))
    chunk = 10_000
    drawn = generator.standard_normal((100, 4 * chunk), dtype=np.float32)
    likely = generator.random(chunk, dtype=np.float32)
    predictions = np.column_stack([1 - likely, likely])
    with tempfile.TemporaryDirectory() as folder:
        made = Observer(
            "m", config=MonitoringConfig(), path=Path(folder) / "s.json", clock=time.time
        )
        made.watch(1, record, target=target)
        # Not ru_maxrss, which a process takes over from the one that started it.
        Path("/proc/self/clear_refs").write_text("5")
        before = _highest()
        spent = 0.0
        for number in range(0, rows, chunk):
            place = int(generator.integers(0, 3 * chunk))
            values = {n: drawn[i, place : place + chunk] for i, n in enumerate(names)}
            ids = tuple(f"{number + row:x}" for row in range(chunk))
            batch = Batch(
                rows=chunk, version=1, seconds=0.1, tensors=values,
                predictions=predictions, ids=ids,
            )  # fmt: skip
            began = time.perf_counter()
            made.tell([batch])
            if number % (50 * chunk) == 0:
                made.flush()
                made.report()
            spent += time.perf_counter() - began
    told = {"rows_a_second": rows / spent, "added_mb": _highest() - before, "before_mb": before}
    print(json.dumps(told))


def _highest() -> float:
    """Return the most memory that this process held since its peak was set back, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("this system does not tell VmHWM")


# ---------------------------------------------------------------------------------- late labels


def labelled(days: int) -> bool:
    """Count days with an alarm of what labels tell, which come a day late; a model of fifty days.

    Looks are six a day, and the bound of quality lies 0.03 below the true figure.
    """
    bad, kinds, bound = 0, Counter[str](), 0.0
    nowhere = Path(os.devnull) / "state"  # nothing is written here
    for day in range(days):
        if day % 50 == 0:
            generator, clock = np.random.default_rng([day, 7]), Clock()
            target = Target(task="binary", classes=("0", "1"), metric="roc_auc")
            rows = likely(generator, 2000)
            truth = (generator.random(len(rows)) < rows[:, 1]).astype(int)
            target = replace(
                target,
                reliability=reliability(target, truth, rows),
                predictions=Predictions(column=bins_of(predicted(rows))),
            )
            bound = bound or _true_auc(generator) - 0.03
            news, waiting = News(quality_at_least=bound), []
            observer = Observer("m", config=MonitoringConfig(), path=nowhere, clock=clock)
            nothing = as_record(Statistics(rows=0, columns=()))
            observer.watch(1, nothing, target=as_record(target))
        found: set[str] = set()
        for part in range(6):
            clock.now += 86400 / 6
            rows = likely(generator, 250)
            truth = (generator.random(len(rows)) < rows[:, 1]).astype(int)
            ids = tuple(f"{day}-{part}-{row}" for row in range(len(rows)))
            waiting.append(Feedback(ids=ids, labels=tuple(truth.tolist())))
            batch = Batch(rows=len(rows), version=1, seconds=0.1, predictions=rows, ids=ids)
            late = [waiting.pop(0)] if len(waiting) > 6 else []
            observer.tell([batch], feedback=late)
            told_now = news.of(observer.report(), at=clock.now)
            found |= {one.kind for one in told_now if not one.kind.endswith("calm")}
        kinds.update(found)
        bad += bool(found)
    held = seldom(bad, days)
    print(f"  by kind: {dict(kinds)}")
    return held


def _true_auc(generator: np.random.Generator) -> float:
    from sklearn.metrics import roc_auc_score

    rows = likely(generator, 1_000_000)
    return float(roc_auc_score(generator.random(len(rows)) < rows[:, 1], rows[:, 1]))


def labels() -> bool:
    """Play 40,000 predictions with labels late, twice, of nobody and out of order."""
    from sklearn.metrics import log_loss, roc_auc_score

    generator, count, clock = np.random.default_rng(0), 40_000, Clock()
    likely = generator.random(count)
    truth = (generator.random(count) < likely).astype(int)
    rows = np.column_stack([1 - likely, likely])
    events: list[tuple[float, int, str, Any]] = [
        (start + 99.5, 0, "predict", start) for start in range(0, count, 100)
    ]
    doubled = orphaned = 0
    for row in range(count):
        late = generator.random() < 0.3
        when = row + (generator.exponential(10_000) if late else generator.normal(0, 300))
        events.append((when, 1, f"id{row}", truth[row]))
        if generator.random() < 0.1:
            doubled += 1
            events.append((when + generator.exponential(3000), 2, f"id{row}", 1 - truth[row]))
        if generator.random() < 0.05:
            orphaned += 1
            events.append((when, 3, f"nobody{row}", 1))
    events.sort(key=lambda one: one[:2])
    good = True
    for metric, figure in (("roc_auc", roc_auc_score), ("log_loss", log_loss)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "s.json"
            config = MonitoringConfig()
            made = Observer("m", config=config, path=path, clock=clock)
            target = Target(task="binary", classes=("0", "1"), metric=metric)
            made.watch(1, as_record(Statistics(rows=0, columns=())), target=as_record(target))
            for place, (_, _, name, what) in enumerate(events):
                if name == "predict":
                    ids = tuple(f"id{row}" for row in range(what, what + 100))
                    predictions = rows[what : what + 100]
                    made.tell([Batch(rows=100, version=1, seconds=0.1,
                                     predictions=predictions, ids=ids)])  # fmt: skip
                else:
                    made.tell([], feedback=[Feedback(ids=(name,), labels=(int(what),))])
                if place % 10_000 == 0:  # killed and started again
                    made.flush()
                    made = Observer("m", config=config, path=path, clock=clock)
            report = made.report()
        offline = float(figure(truth, rows[:, 1] if metric == "roc_auc" else rows))
        quality, seen = report["quality"], report["labels"]
        counts = (seen["doubled"], seen["orphaned"]) == (doubled, orphaned)
        good &= counts and quality["n"] == count and abs(quality["value"] - offline) < 1e-12
        joined = quality["calibration"]["value"]
        expected = binned_error(truth, rows[:, 1])
        # The evaluation adds its resamples up in float32, of rows as they were.
        apart = abs(joined - CalibrationError()(truth, rows))
        good &= abs(joined - expected) < 1e-12 and apart < 1e-4
        print(f"\nLate labels, {metric}: joined {quality['value']:.15f} of {quality['n']:,} rows, "
              f"offline {offline:.15f}; {seen['doubled']:,} doubled, {seen['orphaned']:,} "
              f"orphaned{'' if counts else ', WRONG'}; calibration error {joined:.15f}, offline "
              f"{expected:.15f}")  # fmt: skip
    return good


def binned_error(truth: np.ndarray, told: np.ndarray) -> float:
    """Return the calibration error in 15 bins of like sizes, a row at a time."""
    order = np.argsort(told, kind="stable")
    bins = pd.Series(np.arange(len(told)) * 15 // len(told))
    apart = pd.Series(truth[order] - told[order]).groupby(bins).sum().abs()
    return float(apart.sum() / len(told))


# ------------------------------------------------------------------------------------ estimates


def tables(folder: Path) -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
    from sklearn.datasets import load_digits

    made = {}
    for name, target in (
        ("adult", "income"), ("telco_churn", "Churn"), ("elec2", "class"), ("letter", "class")
    ):  # fmt: skip
        frame = pd.read_csv(folder / f"{name}.csv").drop(columns="customerID", errors="ignore")
        y = frame.pop(target).astype(str).str.strip()
        made[name] = (_numbers(frame), pd.factorize(y, sort=True)[0])
    digits = load_digits(as_frame=True)
    made["digits"] = (digits.data, digits.target.to_numpy())
    return made


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.apply(
        lambda c: c if pd.api.types.is_numeric_dtype(c) else pd.factorize(c, sort=True)[0]
    ).astype(np.float64)


def drawn(
    features: pd.DataFrame, pool: np.ndarray, size: int, generator: np.random.Generator
) -> np.ndarray:
    """Choose rows by a feature: the odds of its highest rank against its lowest are 55 to 1."""
    name = generator.choice([c for c in features if features[c].nunique() > 1])
    ranks = features[name].iloc[pool].rank(pct=True).to_numpy()
    weights = np.exp((4 if generator.random() < 0.5 else -4) * ranks)
    return generator.choice(pool, size=size, replace=False, p=weights / weights.sum())


def estimates(folder: Path) -> bool:
    from sklearn.ensemble import HistGradientBoostingClassifier

    print(f"\nEstimated accuracy without labels, ten shifts a table (bar: {MOST_ERROR})")
    print("  table          rows   accuracy       its change   error of the estimate   told")
    good = True
    for name, (features, y) in tables(folder).items():
        generator = np.random.default_rng(5)
        order = generator.permutation(len(y))
        fit, rest = np.split(order, [len(y) // 3])
        known, pool = np.split(rest, [len(rest) // 2])
        model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
        model.fit(features.iloc[fit], y[fit])
        told = model.predict_proba(features)
        classes = tuple(map(str, model.classes_))
        task: Any = "binary" if len(classes) == 2 else "multiclass"
        target = Target(task=task, classes=classes)
        target = Target(
            task=task, classes=classes, reliability=reliability(target, y[known], told[known])
        )
        base = float((told[known].argmax(axis=1) == y[known]).mean())
        size = min(5000, len(pool) // 2)
        errors, naive, uncalibrated, seen = [], [], [], []
        for _ in range(10):
            chosen = drawn(features, pool, size, generator)
            true = float((told[chosen].argmax(axis=1) == y[chosen]).mean())
            estimate = Estimate(target, window=size)
            estimate.update(told[chosen])
            report = estimate.report(np.empty(0, np.int64), np.empty((0, len(classes))))
            errors.append(abs(report["accuracy"]["value"] - true))
            naive.append(abs(base - true))
            uncalibrated.append(abs(told[chosen].max(axis=1).mean() - true))
            seen.append(true)
        error, blind = float(np.mean(errors)), _blind(target, y[pool], told[pool], generator)
        good &= error <= MOST_ERROR and blind
        print(f"  {name:<12} {size:>6}   {min(seen):.3f}-{max(seen):.3f}    {np.mean(naive):.4f}"
              f"       {error:.4f}                  {np.mean(uncalibrated):.4f}")  # fmt: skip
    print("  (change: the error of taking the reference's accuracy; told: of the probabilities as "
          "they are)")  # fmt: skip
    return good


def _blind(target: Target, y: np.ndarray, told: np.ndarray, generator: np.random.Generator) -> bool:
    """Change what rows mean for the target, and return whether the report says that it cannot see
    that: the estimate is off by what the accuracy falls by, until labels come, and then is not.
    """
    rows = generator.choice(len(y), 5000)  # enough that labels are believed
    y, told = y[rows], told[rows]
    changed = np.where(generator.random(len(y)) < 0.3, (y + 1) % len(target.classes), y)
    true = float((told.argmax(axis=1) == changed).mean())
    estimate = Estimate(target, window=len(y))
    estimate.update(told)
    off = []
    for known in (0, len(y)):
        report = estimate.report(changed[:known], told[:known])
        off.append(abs(report["accuracy"]["value"] - true))
    said = "cannot see concept drift" in report["limits"]
    if not (said and off[0] > 5 * MOST_ERROR and off[1] <= MOST_ERROR):
        print(f"  under concept drift: off by {off[0]:.3f}, with labels by {off[1]:.3f}")
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--only", default="null,crowded,labelled,shift,burst,memory,labels,estimates"
    )
    parser.add_argument("--days", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--watch", type=int)
    given = parser.parse_args()
    if given.watch:
        watch(given.watch)
        return
    parts: dict[str, Callable[[], bool]] = {
        "null": lambda: null(given.days),
        "crowded": lambda: crowded(given.days),
        "labelled": lambda: labelled(given.days),
        "shift": lambda: power(given.trials, 2000, shifted, "A shift of 0.2 deviations"),
        "burst": lambda: power(given.trials, 500, holed, "Missing values from none to 5 %"),
        "memory": lambda: memory(given.rows),
        "labels": labels,
        "estimates": lambda: estimates(given.data),
    }
    missed = []
    for name in given.only.split(","):
        began = time.monotonic()
        if not parts[name]():
            missed.append(name)
        print(f"  [{name}: {time.monotonic() - began:.0f} s]", flush=True)
    print(f"\nmissed: {', '.join(missed)}" if missed else "\nevery bar is held")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()

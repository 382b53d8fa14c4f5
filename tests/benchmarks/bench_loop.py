"""Whether the loop keeps a model good: elec2 played as a stream, 48 rows a day.

A model is made of the first tenth. Left alone it answers the rest; beside it the loop of `raymm
keep` does (`raymm.keeping.keep` itself), with the same first model: what it sees is the monitor's
report alone, labels come a day late, and drift calls for training on the newest ``--newest`` rows,
warm-started from the earlier trials, with a fifth of the first search's trials. A challenger goes
through shadow, compared with the champion on the same labelled rows, and canary, which answers its
share; the champion before it is watched beside it for a while. The place of a row in time
(``--exclude``) is no feature, as no model knows the future's, and rows are split by whole blocks of
``--block`` days, as those of one day are nearly copies of each other. The loop's accuracy over the
stream must be at least 3 points above the untouched model's, and above that of one made with all
columns and without blocks.

Then, at up to ``--compared`` of the retrainings, a search is begun cold on the same rows and folds
with the first search's trials: the warm one must reach the best value that it found, within one
standard deviation of the cold searches' own chance (three of them), in at most 40 % of its trials,
in the median. Searches run in this process. Exits with 1 where either is missed.

    python tests/benchmarks/bench_loop.py [--data ../shared/data/elec2.csv] [--trials 15]
        [--pause 10] [--newest 5000] [--exclude date] [--block 1] [--days 0] [--compared 3]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from raymm import hands, keeping, lifecycle, recipes, searching
from raymm.artifacts import Batch, Feedback, Release, Target, as_record
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.config import parse
from raymm.features.columns import encode
from raymm.monitoring.observer import Observer
from raymm.registry.versions import Registry
from raymm.search.ledger import Ledger
from raymm.sections import MonitoringConfig
from raymm.serving.routing import falls_to_canary
from raymm.standing import Standing

DAY, POINTS, SHARE = 48, 3.0, 0.4
NAME, TARGET, BLOCK = "elec2", "class", "block"


class Clock:
    """Seconds that pass only when told to."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, kw_only=True)
class Hands(hands.RegistryHands):
    """Writes the newest labelled rows down before it trains, and keeps what it trained on."""

    newest: Any
    kept: list[tuple[pd.DataFrame, str]]

    def train(self, reason: str, source: str = "") -> tuple[int | None, str]:
        frame = self.newest()
        frame.to_csv(self.source, index=False)
        number, why = super().train(reason, source)
        config = lifecycle.again(self.name, self.source, {**self.changes, "storage": self.storage})
        dataset, _ = lifecycle._dataset(config, lambda _: None, None)
        self.kept.append((frame, config.run_id(dataset.sha256)))
        return number, why


class Played:
    """A version that answers."""

    def __init__(self, registry: Registry, number: int) -> None:
        version = registry.version(NAME, number)
        self.number = number
        self.bundle = Bundle.from_bytes(registry.bundle(version), sha256=version.bundle)
        self.runner = Runner(self.bundle)

    def predict(self, frame: pd.DataFrame) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        tensors = encode(frame, self.bundle.schema)
        predictions = self.runner.predict(tensors)
        return tensors, predictions, np.array(self.runner.labels(predictions)).astype(str)


class Stream:
    """The service of a model and its clients: a day is played whenever the loop pauses."""

    def __init__(self, frame: pd.DataFrame, home: str, given: Any) -> None:
        self.frame, self.home, self.given = frame, home, given
        self.truth = frame[TARGET].astype(str).to_numpy()
        self.start = len(frame) // 10
        self.registry, self.clock = Registry(home), Clock()
        self.config = MonitoringConfig(
            window=500, labels=2000, retrain="drift", windows=1, pause=given.pause * 86400.0,
            trial={"labels": 50, "margin": 0.03, "requests": 48, "patience": "30d", "share": 0.5},
        )  # fmt: skip
        self.observer = Observer(
            NAME, config=self.config, path=Path(home) / "monitor.json", clock=self.clock
        )
        self.played: dict[int, Played] = {}
        self.day = self.right = 0

    def newest(self) -> pd.DataFrame:
        """Return the newest rows whose labels have come."""
        stop = self.start - DAY
        return self.frame.iloc[max(stop - self.given.newest, 0) : stop]

    def days(self) -> Iterator[float]:
        """Play a day, then let the loop have its round; yields the loop's pauses."""
        first = self.start
        starts = range(first, len(self.frame) - DAY + 1, DAY)
        for day, start in enumerate(starts[: self.given.days or None]):
            self.day, self.start = day, start
            if day and day % 50 == 0:
                print(f"  day {day:>3}  accuracy so far {self.right / (day * DAY):.4f}", flush=True)
            self.clock.now += 86400.0
            self._answer(self.registry.releases(NAME).current())
            if self.start - DAY >= first:  # yesterday's labels
                late = range(self.start - DAY, self.start)
                told = Feedback(
                    ids=tuple(map(str, late)),
                    labels=tuple(self.truth[self.start - DAY : self.start]),
                )
                self.observer.tell([], feedback=[told])
            yield 0.0

    def _answer(self, release: Release) -> None:
        """Let each version answer what is its own: a share the canary, a shadow every row."""
        rows = np.arange(self.start, self.start + DAY)
        tried = np.array([
            release.canary is not None and falls_to_canary(f"{row}", release.share, release.canary)
            for row in rows
        ])  # fmt: skip
        parts = {release.champion: ~tried, release.canary: tried, release.shadow: rows >= 0}
        for number, mask in parts.items():
            if number is None:
                continue
            one = self._version(number, champion=number == release.champion)
            if not mask.any():
                continue
            tensors, predictions, labels = one.predict(self.frame.iloc[rows[mask]])
            if number != release.shadow:
                self.right += int((labels == self.truth[rows[mask]]).sum())
            count = int(mask.sum())
            batch = Batch(
                rows=count, version=number, seconds=0.001 * count, tensors=tensors,
                predictions=predictions, ids=tuple(map(str, rows[mask])), merged=(0.001,) * count,
            )  # fmt: skip
            self.observer.tell([batch])
        self.played = {n: one for n, one in self.played.items() if n in parts}

    def _version(self, number: int, *, champion: bool) -> Played:
        if number not in self.played:
            self.played[number] = Played(self.registry, number)
        one = self.played[number]
        schema, statistics = one.bundle.schema, as_record(one.bundle.statistics)
        target = as_record(Target.of(schema, "accuracy"))
        self.observer.watch(number, statistics, target=target, champion=champion)
        return one


def settings(home: str, source: str, given: Any, exclude: tuple[str, ...]) -> dict[str, Any]:
    split = {"exclude": [*exclude, BLOCK], "group": BLOCK if exclude else None}
    return {
        "name": NAME, "data": {"source": source, "target": TARGET, **split}, "storage": home,
        "goal": {"metric": "accuracy"}, "compression": {"techniques": ["prune"]},
        "search": {"trials": given.trials, "families": "lightgbm", "parallel": 1,
                   "ensemble": "off"},
    }  # fmt: skip


def alone(frame: pd.DataFrame, home: str, given: Any, exclude: tuple[str, ...]) -> float:
    """Train on the first tenth; returns that model's accuracy over the stream."""
    first = len(frame) // 10
    begin = str(Path(home) / "first.csv")
    frame.iloc[:first].to_csv(begin, index=False)
    lifecycle.run(parse(settings(home, begin, given, exclude)))
    stop = first + (given.days or len(frame)) * DAY
    rest = frame.iloc[first : min(stop, first + (len(frame) - first) // DAY * DAY)]
    labels = Played(Registry(home), 1).predict(rest)[2]
    return float((labels == rest[TARGET].astype(str).to_numpy()).mean())


def play(frame: pd.DataFrame, home: str, given: Any) -> tuple[float, list[str], Any]:
    """Return the loop's accuracy, what it said, and what each training was of."""
    stream = Stream(frame, home, given)
    playing = Hands(
        name=NAME, storage=home, source=str(Path(home) / "newest.csv"), share=0.5,
        changes={"search.trials": max(given.trials // 5, 1)}, notify=lambda _: None, kept=[],
        newest=stream.newest,
    )  # fmt: skip
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if not any(f"{NAME}: {kind}:" in text for kind in ("drift", "calm")):
            print(f"  day {stream.day:>3}  {text[:170]}", flush=True)

    keeping.keep(
        NAME, stream.observer.report, playing, config=stream.config,
        standing=Standing(Path(home) / "loop.json"), say=say, pauses=stream.days(),
        clock=stream.clock,
    )  # fmt: skip
    return stream.right / ((stream.day + 1) * DAY), said, playing.kept


class _Searched(Exception):
    """The search is over, and the rest of the life is not wanted."""


def cold(frame: pd.DataFrame, given: Any, seed: int) -> list[float]:
    """Search on the rows of a retraining from nothing; seeds share folds, and not the path."""
    from conftest import search_here

    def other(prepared: Any, space: Any, searcher: Any, *rest: Any, **how: Any) -> Any:
        searcher.suggest(seed) if seed else None  # so the rest of the path is another
        return search_here(prepared, space, searcher, *rest, **how)

    def stop(*_: Any) -> Any:
        raise _Searched

    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching.tune, "search", other)
        patch.setattr(recipes, "compose", stop)
        source = str(Path(home) / "rows.csv")
        frame.to_csv(source, index=False)
        config = parse(settings(home, source, given, given.exclude))
        with pytest.raises(_Searched):
            lifecycle.run(config)
        dataset, _ = lifecycle._dataset(config, lambda _: None, None)
        return [trial.value for trial in Ledger.read(home, config.run_id(dataset.sha256)).trials()]


def compared(kept: Any, home: str, given: Any) -> list[float]:
    """Return in what share of a cold search's trials each warm one reached what it found."""
    shares = []
    chosen = kept[:: max(len(kept) // max(given.compared, 1), 1)][: given.compared]
    for place, (frame, run) in enumerate(chosen):
        warm = [trial.value for trial in Ledger.read(home, run).trials()]
        best = [max(cold(frame, given, seed)) for seed in range(3)]
        bar = best[0] - float(np.std(best, ddof=1))
        reached = next((n for n, value in enumerate(warm, 1) if value >= bar), None)
        shares.append(reached / given.trials if reached else float("inf"))
        print(
            f"  retraining {place}: cold best {best[0]:.4f} (others "
            f"{', '.join(f'{one:.4f}' for one in best[1:])}) in {given.trials} trials, warm "
            f"{max(warm):.4f} in {len(warm)}; reached after {reached or 'none'}",
            flush=True,
        )
    return shares


def main() -> None:
    from conftest import stand_in

    default = Path(__file__).parents[3] / "shared" / "data" / "elec2.csv"
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--trials", type=int, default=15)
    parser.add_argument("--pause", type=float, default=10.0)
    parser.add_argument("--newest", type=int, default=5000)
    parser.add_argument("--exclude", nargs="*", default=("date",))
    parser.add_argument("--block", type=int, default=1)
    parser.add_argument("--days", type=int, default=0)
    parser.add_argument("--compared", type=int, default=3)
    given = parser.parse_args()
    began = time.monotonic()
    frame = pd.read_csv(given.data)
    frame[BLOCK] = np.arange(len(frame)) // (given.block * DAY)
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        stand_in(patch)
        with tempfile.TemporaryDirectory() as other:
            whole = alone(frame, other, given, ())
        untouched = alone(frame, home, given, tuple(given.exclude))
        print(f"left alone: {untouched:.4f}, with all columns {whole:.4f}", flush=True)
        loop, said, kept = play(frame, home, given)
        kinds = ("train", "shadow", "canary", "promote", "reject", "guard", "confirm", "rollback")
        counts = {kind: sum(f": {kind}: " in one for one in said) for kind in kinds}
        print(f"steps: {counts}")
        gain = 100 * (loop - max(untouched, whole))
        print(
            f"accuracy over the stream: the loop {loop:.4f}, the model left alone {untouched:.4f} "
            f"({whole:.4f} with all columns): {gain:+.2f} points over the better (bar: "
            f"{POINTS:+.1f})  [{time.monotonic() - began:.0f} s]",
            flush=True,
        )
        shares = compared(kept, home, given)
        share = float(np.median(shares)) if shares else float("inf")
        print(f"the warm search needs {share:.0%} of the cold one's trials in the median "
              f"(bar: {SHARE:.0%})  [{time.monotonic() - began:.0f} s]")  # fmt: skip
    good = gain >= POINTS and share <= SHARE
    print("every bar is held" if good else "missed")
    sys.exit(not good)


if __name__ == "__main__":
    main()

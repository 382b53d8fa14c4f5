"""Fixtures for every test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
import pytest

# No test depends on the machine's speed: an example may take as long as it likes. Nor on chance:
# the examples are the same in every run, and `make fuzz` looks for new ones.
hypothesis.settings.register_profile(
    "raymm",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=True,
)
hypothesis.settings.register_profile(
    "fuzz", hypothesis.settings.get_profile("raymm"), derandomize=False, print_blob=True
)
hypothesis.settings.load_profile(os.environ.get("RAYMM_HYPOTHESIS", "raymm"))


_SAID = pytest.StashKey[list[str]]()


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print a line about what a test did, below the results."""
    return request.config.stash.setdefault(_SAID, []).append


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for line in config.stash.get(_SAID, []):
        terminalreporter.write_line(line)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Call tests slow that read whole runs, which take some seconds to make."""
    for item in items:
        if {"finished", "refitted"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def own_orphans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let only what this test marks be an orphan, as those are ended machine-wide."""
    monkeypatch.setattr("raymm.leftover.VARIABLE", f"RAYMM_OWNER_{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[object]:
    """Yield a connection to a cluster of two CPUs on loopback, started when first asked for."""
    from raymm.cluster import connect
    from raymm.sections import RayConfig

    with connect(RayConfig(address="local"), cpus=2) as connection:
        yield connection


def search_here(
    prepared: Any, space: Any, searcher: Any, halving: Any, ledger: Any, **how: Any
) -> Any:
    """Search in this process: one trial after another, each in the ledger."""
    from raymm.artifacts import Trial, Trials, as_record
    from raymm.search.trial import TrialRun

    for number in range(len(ledger.trials()), how["trials"]):
        (suggestion,) = searcher.suggest(1)
        run = TrialRun(prepared, suggestion.config, how["metric"], seed=how["seed"])
        rungs: list[Any] = []
        while not rungs or not rungs[-1].done:
            rung = run.advance()
            rungs.extend([rung] if rung is not None else [])
        sign = 1 if how["metric"].direction == "maximize" else -1
        best = max(rungs, key=lambda rung: sign * rung.value)
        trial = Trial(
            id=suggestion.id,
            number=number,
            config=suggestion.config,
            status="finished",
            value=best.value,
            rounds=best.rounds,
            fold_values=best.fold_values,
            rungs=tuple((rung.rounds, rung.value) for rung in rungs),
        )
        ledger.append("trial", trial=as_record(trial))
    return Trials(
        trials=ledger.trials(), direction=how["metric"].direction, metric=how["metric"].name
    )


@contextmanager
def no_cluster(config: Any) -> Iterator[None]:
    yield None


@pytest.fixture
def searching_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs search in this process, without Ray."""
    stand_in(monkeypatch)


def stand_in(patch: pytest.MonkeyPatch) -> None:
    from raymm import searching

    patch.setattr(searching, "connect", no_cluster)
    patch.setattr(searching.tune, "search", search_here)


def loans(rows: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Make a table with numbers, words, blanks and a date, whose target can be learned."""
    generator = np.random.default_rng(seed)
    income = generator.normal(50, 15, rows).round(2)
    city = generator.choice(["Bern", "Oslo", "Rome"], rows)
    noise = generator.normal(0, 4, rows)
    good = income + np.where(city == "Oslo", 8, 0) + noise > 50
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(generator.integers(0, 300, rows), unit="D")
    shown = [f"{value}" if generator.random() > 0.05 else "?" for value in income]
    return pd.DataFrame(
        {
            "income": shown,
            "city": city,
            "opened": pd.Series(day).dt.strftime("%Y-%m-%d"),
            "children": generator.integers(0, 4, rows),
            "approved": np.where(good, "yes", "no"),
        }
    )


@pytest.fixture(scope="session")
def loans_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file of 2,000 loans."""
    path = tmp_path_factory.mktemp("loans") / "loans.csv"
    loans().to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def finished(loans_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A home folder with two finished runs of the model ``loans``; ``runs`` holds them.

    Version 1 is linear, version 2 (the champion) comes of a larger search.
    """
    from raymm import config, lifecycle

    home = tmp_path_factory.mktemp("home")
    runs = []
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch)
        for families, trials in ((["linear"], 1), (["lightgbm", "linear"], 3)):
            made = config.parse(
                {
                    "name": "loans",
                    "data": {"source": str(loans_csv), "target": "approved"},
                    "goal": {"protected": ["city"]},
                    "search": {"trials": trials, "families": families, "parallel": 1},
                    "storage": str(home),
                }
            )
            runs.append(lifecycle.run(made))
    return SimpleNamespace(home=home, runs=runs, csv=loans_csv)


@pytest.fixture(scope="session")
def refitted(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A copy of the home of `finished` where the champion's run was told to refit on all rows.

    ``run`` is what that gave, version 3; ``stages`` are those that were done for it.
    """
    import shutil

    from raymm import lifecycle

    home = tmp_path_factory.mktemp("refitted") / "home"
    shutil.copytree(finished.home, home)
    before = finished.runs[1]
    goal = before.config.goal.model_copy(update={"refit": "all"})
    asked = before.config.model_copy(update={"goal": goal, "storage": str(home)})
    stages: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch)
        run = lifecycle.run(asked, notify=lambda progress: stages.append(progress.stage))
    return SimpleNamespace(home=home, run=run, before=before, stages=stages, csv=finished.csv)


@pytest.fixture
def home(finished: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RAYMM_HOME set to the folder of `finished`."""
    monkeypatch.setitem(os.environ, "RAYMM_HOME", str(finished.home))
    return Path(finished.home)

"""What tuning a function or an estimator has found, as a notebook or a script reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from raymm.artifacts import Trial, Trials
from raymm.counts import counted
from raymm.search.account import Budgets
from raymm.search.front import best_of, volume
from raymm.search.goals import Goals

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What tuning a function or an estimator has found.

    Attributes
    ----------
    run : str
        The run's name; the same call again goes on with it.
    trials : Trials
        Every trial: ``trials.trials`` in order, ``trials.leaderboard`` best first.
    best_estimator : estimator or None
        The estimator at the best configuration, fitted on all rows; None for a function.
    goals : Goals or None
        Where several objectives were sought.
    budgets : Budgets
        How far trials were meant to be trained, where the search planned that.
    """

    run: str
    trials: Trials
    best_estimator: Any = None
    goals: Goals | None = None
    budgets: Budgets = field(default_factory=Budgets)

    @property
    def front(self) -> tuple[Trial, ...]:
        """Trials that no other is better than in every objective; the best alone for one."""
        if self.goals is None:
            return self.trials.leaderboard[:1]
        return best_of(self.trials, self.goals)

    @property
    def hypervolume(self) -> float:
        """Volume that the front dominates, down to the worst value seen of each objective.

        0 for one objective, and where nothing keeps the constraints.
        """
        return 0.0 if self.goals is None else volume(self.trials, self.goals)[0]

    @property
    def best_config(self) -> dict[str, Any]:
        """The best configuration; of several objectives, the front's best by the first."""
        return dict(self._best.config)

    @property
    def best_value(self) -> float:
        """The metric's value there."""
        value = self._best.value
        assert value is not None
        return value

    @property
    def _best(self) -> Trial:
        return (self.front or self.trials.leaderboard)[0]

    def counts(self) -> dict[str, int]:
        """Return how many trials have finished, were stopped early, and failed."""
        found = dict.fromkeys(("finished", "stopped", "failed"), 0)
        for trial in self.trials.trials:
            found[self.budgets.standing(trial).split()[0]] += 1
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return the trials as a table, one row each, in the order in which they were begun.

        Columns: ``trial``, ``state``, the metric (NaN where it failed), every further number that
        the function gave, ``reports``, ``seconds``, ``error``, and ``config/NAME`` of each
        parameter, missing where it was not active.
        """
        import pandas as pd

        metric = self.trials.metric
        rows = [
            {
                "trial": trial.number,
                "state": self.budgets.standing(trial),
                metric: trial.value,
                **{name: value for name, value in trial.metrics.items() if name != metric},
                "reports": len(trial.rungs),
                "seconds": trial.seconds,
                "error": trial.error,
                **{f"config/{name}": value for name, value in trial.config.items()},
            }
            for trial in self.trials.trials
        ]
        frame = pd.DataFrame(rows)
        last = [name for name in frame.columns if name.startswith("config/")]
        frame = frame[[name for name in frame.columns if name not in last] + last]
        return frame.astype({metric: "float64"})

    def __repr__(self) -> str:
        """Return the run, its best value and configuration, in one line."""
        return f"Tuned({self.run}: {self._said()} at {self.best_config})"

    def _said(self) -> str:
        tried = counted(len(self.trials.trials), "trial")
        if self.goals is not None:
            return f"{len(self.front)} of {tried} on the front, the first"
        side = "highest" if self.trials.direction == "maximize" else "lowest"
        return f"{self.trials.metric} {self.best_value:.6g}, the {side} of {tried},"

    def _repr_html_(self) -> str:
        """Return the best and the leaders as a table, for notebooks."""
        board = self.front if self.goals is not None else self.trials.leaderboard
        values = list(self.goals.names) if self.goals is not None else [self.trials.metric]
        names = list(dict.fromkeys(name for trial in board[:_SHOWN] for name in trial.config))
        head = "".join(f"<th>{escape(name)}</th>" for name in ("trial", *values, *names, "state"))
        rows = []
        for trial in board[:_SHOWN]:
            told = {**trial.metrics, self.trials.metric: trial.value}
            cells: list[Any] = [trial.number, *(told.get(name) for name in values)]
            cells += [*(trial.config.get(name) for name in names), self.budgets.standing(trial)]
            rows.append("".join(f"<td>{escape(_cell(cell))}</td>" for cell in cells))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        counts = ", ".join(f"{count} {word}" for word, count in self.counts().items() if count)
        more = len(board) - len(rows)
        return (
            f"<p><b>{escape(self.run)}</b>: {escape(self._said())} <code>"
            f"{escape(str(self.best_config))}</code></p><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table><p>{f'{more} more; ' if more > 0 else ''}trials: "
            f"{counts}; {self.trials.seconds:.0f} s of searching. All: <code>.to_frame()</code></p>"
        )

    def summary(self) -> dict[str, Any]:
        """Return what ``raymm tune --json`` prints."""
        counts = self.counts()
        told = {
            "run": self.run,
            "metric": self.trials.metric,
            "direction": self.trials.direction,
            "best": {"configuration": self.best_config, "value": self.best_value},
            "trials": counts["finished"] + counts["stopped"],
            "stopped_trials": counts["stopped"],
            "failed_trials": counts["failed"],
            "resumed_trials": self.trials.resumed,
            "stopped_by": self.trials.stopped_by,
            "seconds": round(self.trials.seconds, 2),
        }
        if self.goals is None:
            return told
        size, corner = volume(self.trials, self.goals)
        front = [
            {
                "trial": trial.number,
                "values": {name: trial.metrics[name] for name in self.goals.names},
                "configuration": dict(trial.config),
            }
            for trial in self.front
        ]
        return {**told, "front": front, "hypervolume": size, "reference": corner}


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)

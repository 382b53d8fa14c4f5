"""What a person reads: progress while it works, tables at the end. And the JSON form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

from raymm.cli.progress import duration, progress
from raymm.counts import counted

if TYPE_CHECKING:
    from rich.console import Console

    from raymm.artifacts import (
        Anomaly,
        Column,
        ColumnStatistics,
        Explanation,
        Frontier,
        Schema,
        Statistics,
        Table,
        Trials,
    )
    from raymm.lifecycle import Run
    from raymm.search.account import Budgets
    from raymm.search.goals import Goals

__all__ = [
    "as_json",
    "console",
    "duration",
    "explanation",
    "front",
    "frontier",
    "leaderboard",
    "progress",
    "run",
    "runs",
    "say",
    "size",
    "table",
    "validation",
]

_ROWS = 20


def say(text: str) -> None:
    """Print a line."""
    click.echo(text)


def as_json(value: Any) -> None:
    """Print one JSON object of frozen types and plain values."""
    from raymm.artifacts import as_record

    click.echo(json.dumps(as_record(value), default=str))


def size(count: float) -> str:
    """Return bytes as a person says them.

    >>> size(512), size(2_345_678)
    ('512 B', '2.3 MB')
    """
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count:.0f} B"


def moment(seconds: float) -> str:
    """Return seconds since 1970 as a day, with the time where it is not midnight (UTC).

    >>> moment(86400.0), moment(86460.5)
    ('1970-01-02', '1970-01-02 00:01:00')
    """
    from datetime import UTC, datetime, timedelta

    try:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(seconds // 1))
    except OverflowError:  # further away than the calendar goes
        return f"{seconds:.6g} s"
    return f"{at:%Y-%m-%d}" if at.time().isoformat() == "00:00:00" else f"{at:%Y-%m-%d %H:%M:%S}"


def console() -> Console:
    """Return a rich console of a readable width."""
    from rich.console import Console

    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=110)


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    width: int | None = None,
    unfolded: str = "",
) -> None:
    """Print a table; numbers right-aligned, floats to six digits.

    With a ``width`` of characters at most, for many columns, they stand a space apart; words of the
    column ``unfolded`` stay in one line.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table as Grid

    apart = (0, 1) if width is None else (0, 0)
    grid = Grid(title=title, box=box.SIMPLE, title_justify="left", pad_edge=False, padding=apart)
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) for row in rows)
        justify: Literal["left", "right"] = "right" if numeric else "left"
        whole = bool(unfolded) and column == unfolded
        grid.add_column(column, justify=justify, overflow="fold", no_wrap=whole)
    for row in rows:
        grid.add_row(*(escape(_cell(value)) for value in row))
    screen = console()
    screen.print(grid, width=None if width is None else min(width, screen.width))


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


_REASONS = 3
"""Kinds of failure that are told."""


def leaderboard(
    trials: Trials, most: int = _ROWS, *, budgets: Budgets | None = None, folds: str = ""
) -> None:
    """Print the best trials, at most ``most``.

    Parameters
    ----------
    budgets : Budgets, optional
        How far trials were meant to be trained, so that one can be told as cut short.
    folds : str
        Where a table's models were scored; a function's values say by themselves what they are.
    """
    board = trials.leaderboard[:most]
    families = any(trial.family for trial in trials.trials)
    steps = any(trial.rounds != 1 or len(trial.rungs) > 1 for trial in trials.trials)
    amount = ("rounds" if families else "at report",) if steps else ()
    rows = [
        (
            place,
            trial.number,
            *((trial.family,) if families else ()),
            trial.value,
            *((trial.rounds,) if steps else ()),
            budgets.standing(trial) if budgets is not None else trial.status,
            round(trial.seconds, 2),
            _settings(trial.config),
        )
        for place, trial in enumerate(board, start=1)
    ]
    better = "higher" if trials.direction == "maximize" else "lower"
    where = f", mean over {folds or 'validation folds'}" if families else ""
    title = f"Leaderboard: {trials.metric}{where}; {better} is better"
    head = ("", "trial", *(("family",) if families else ()), trials.metric, *amount)
    table(title, (*head, "state", "seconds", "configuration"), rows)
    _rest(trials, len(trials.leaderboard) - len(rows))


def _rest(trials: Trials, more: int) -> None:
    failed = sum(trial.status == "failed" for trial in trials.trials)
    if more > 0:
        say(f"{more} more")
    if failed:
        say(f"{failed} failed:")
        for reason, number in list(_reasons(trials).items())[:_REASONS]:
            say(f"  trial {number}: {reason}")


def front(trials: Trials, goals: Goals, budgets: Budgets, most: int = _ROWS) -> None:
    """Print the trials that none beats in every objective, and the volume that they dominate."""
    from raymm.search.front import best_of, volume

    best = best_of(trials, goals)
    rows = [
        (
            trial.number,
            *(trial.metrics[name] for name in goals.names),
            budgets.standing(trial),
            round(trial.seconds, 2),
            _settings(trial.config),
        )
        for trial in best[:most]
    ]
    words = {"min": "lowest", "max": "highest", "minimize": "lowest", "maximize": "highest"}
    sought = ", ".join(f"{words[mode]} {name}" for name, mode in goals.objectives.items())
    bounds = ", ".join(map(goals.bounds_said, goals.constraints))
    title = f"Front: {len(best)} of {counted(len(trials.trials), 'trial')}; {sought}"
    head = ("trial", *goals.names, "state", "seconds", "configuration")
    table(f"{title}; {bounds}" if bounds else title, head, rows)
    if not best:
        say("no trial keeps every constraint")
    size, corner = volume(trials, goals)
    if best:
        told = ", ".join(f"{name} {value:.6g}" for name, value in corner.items())
        say(f"hypervolume {size:.6g}, down to the worst seen: {told}")
    _rest(trials, max(0, len(best) - most))


def runs(found: Sequence[Mapping[str, Any]]) -> None:
    """Print runs, one a row; times in this machine's zone."""
    from datetime import datetime

    rows = []
    for one in found:
        at = one.get("changed")
        told = f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M}" if at else None
        failed = f" ({one['failed']} failed)" if one.get("failed") else ""
        count = None if one["trials"] is None else f"{one['trials']}{failed}"
        took = None if one.get("seconds") is None else duration(one["seconds"])
        state = one["state"] if one["state"] != "damaged" else one["last stage"]
        row = (one["run"], one.get("kind"), state, count, one.get("metric"), one.get("best"))
        rows.append((*row, told, took))
    columns = ("run", "of a", "state", "trials", "metric", "best", "last change", "searched")
    table("Runs", columns, rows)


def _reasons(trials: Trials) -> dict[str, int]:
    """Return what trials failed of, each with the first trial that did."""
    reasons: dict[str, int] = {}
    for trial in trials.trials:
        if trial.status == "failed":
            told = "\n    ".join(trial.error.strip().splitlines()) or "no reason is known"
            reasons.setdefault(told, trial.number)
    return reasons


def _settings(config: Mapping[str, Any]) -> str:
    prefix = f"{config.get('family')}."
    return " ".join(
        f"{key.removeprefix(prefix)}={_short(value)}"
        for key, value in config.items()
        if key != "family"
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _cell(value)


def frontier(found: Frontier) -> None:
    """Print the candidates of compression."""
    from raymm import allowance

    rows = [
        (
            *("→" if one.chosen else "", one.technique, _settings(one.parameters), one.score),
            *(one.loss.value, one.loss.high, one.bytes, one.row_microseconds),
        )
        for one in found.candidates
    ]
    sizes = ("loss", "loss at most", "bytes", "row µs")
    title = f"Compression: {found.metric} of the winner, trained without these {found.rows:,} "
    title += f"validation rows; {allowance.statement(found)}"
    table(title, ("", "technique", "parameters", found.metric, *sizes), rows)


def explanation(found: Explanation) -> None:
    """Print the columns that matter most, and where contributions come from."""
    rows = [(one.column, one.value, one.low, one.high) for one in found.importance[:_ROWS]]
    title = "Permutation importance: what the metric loses on test rows when a column is shuffled"
    table(title, ("column", "loss", "95 % low", "95 % high"), rows)
    say(f"report: contributions of {len(found.outputs)} rows ({found.unit}; {found.method})")


def run(done: Run) -> None:
    """Print what a run has found."""
    folds = len(done.dataset.folds)
    said = f"{folds} folds of the training rows" if folds > 1 else "one fold of the training rows"
    leaderboard(done.trials, most=10, folds=said)
    frontier(done.frontier)
    explanation(done.explanation)
    if done.audit.groups:
        rows = [
            (
                *(one.column, one.value, one.rows, one.score.metric),
                *(one.score.value, one.score.low, one.score.high),
            )
            for one in done.audit.groups
        ]
        table("By group", ("column", "group", "rows", "metric", "value", "low", "high"), rows)
    for anomaly in done.anomalies:
        place = anomaly.column or "table"
        say(f"note  {place}: {anomaly.rule}: {anomaly.observed}. {anomaly.remedy}")
    for one in done.recipe.findings:
        if one.kept:
            say(f"kept  {one.policy}: {one.statement}")
    score = done.evaluation.told
    others = "  ".join(f"{one.metric} {one.value:.4g}" for one in done.evaluation.others)
    say(
        f"\n{score.metric} {score.value:.6g} on {done.evaluation.rows:,} test rows "
        f"({score.level:.0%} interval {score.low:.6g} to {score.high:.6g}; "
        f"trivial baseline {done.evaluation.baseline:.6g})"
    )
    say(
        "      the score to go by: test rows took no part in the search, which picked the best of "
        f"{len(done.trials.trials)} by the leaderboard"
    )
    if done.version.summary.get("refit") == "all":
        say(f"      scores, explanation and groups are of {done.version.summary['score_of']}")
    say(f"also  {others}")
    if done.schema.task == "binary":
        positive = done.schema.classes[-1]
        say(f"      of labels, {positive} is the positive one; data.positive names another")
    for check in done.blessing.checks:
        say(f"{check.word:6}  {check.statement}")
    _closing(done)


def _closing(done: Run) -> None:
    version, trials = done.version, done.trials
    state = "blessed" if version.blessed else "NOT blessed"
    state += ", champion" if done.promoted else ", not promoted"
    resumed = f", {trials.resumed} resumed" if trials.resumed else ""
    say(f"\n{version.name} version {version.number}: {state}")
    say(
        f"  bundle   {size(version.bundle_bytes)} "
        f"({size(done.uncompressed_bytes)} uncompressed, {size(done.packed_bytes)} packed alone)"
    )
    say(
        f"  search   {counted(len(trials.trials), 'trial')}{resumed}, {duration(trials.seconds)}, "
        f"ended by {trials.stopped_by}"
    )
    say(f"  whole    {duration(done.seconds)}")
    say(f"  report   {done.report}")
    say(f"  run      {done.run}")
    if done.promoted:
        say(f"next: raymm deploy {version.name}   or   raymm predict {version.name} DATA -o FILE")
    elif not version.blessed:
        say(
            "next: look into the report, then give the search more rows or time (--time), or\n"
            f"      release it as it is: raymm promote {version.name} {version.number} --force"
        )


def validation(
    read: Table, described: Statistics, columns: Schema, anomalies: Sequence[Anomaly]
) -> None:
    """Print what is known of a table."""
    for note in read.notes:
        say(f"read  {note}")
    rows = []
    masked = {anomaly.column for anomaly in anomalies if anomaly.rule == "personal data"}
    for column in columns.columns:
        found = next((one for one in described.columns if one.name == column.name), None)
        rows.append(
            (
                column.name,
                column.kind,
                column.role,
                found.missing if found else None,
                found.distinct if found else None,
                "(personal)" if column.name in masked else _range(column, found),
                column.reason,
            )
        )
    title = f"{counted(described.rows, 'row')}; {columns.task} of {columns.target}"
    table(title, ("column", "kind", "role", "missing", "distinct", "values", "why"), rows)
    for anomaly in anomalies:
        say(
            f"{anomaly.severity}  {anomaly.column or 'table'}: {anomaly.rule}: {anomaly.observed}; "
            f"allowed: {anomaly.allowed}. {anomaly.remedy}"
        )
    if not anomalies:
        say("no anomalies")


def _range(column: Column, found: ColumnStatistics | None) -> str:
    """Write what values a column of the table has: of the schema's kind, where it was read so."""
    same = found is not None and found.kind == column.kind and column.role == "feature"
    if same and found is not None and found.quantiles:
        low, high = found.quantiles[0], found.quantiles[-1]
        if column.kind == "datetime":
            return f"{moment(low)} to {moment(high)}"
        return f"{low:.6g} to {high:.6g}"
    if column.minimum is not None and column.maximum is not None:
        if column.kind == "datetime":
            return f"{moment(column.minimum)} to {moment(column.maximum)}"
        return f"{column.minimum:.6g} to {column.maximum:.6g}"
    words = [word[:40] for word in column.categories]
    if same and found is not None and column.kind == "category":
        words = [word[:40] for word in found.values]
    return ", ".join(words[:4]) + (", …" if len(words) > 4 else "")

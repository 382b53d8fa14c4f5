"""What a person reads: progress while it works, tables at the end. And the JSON form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from raymm.cli.progress import duration, progress

if TYPE_CHECKING:
    from rich.console import Console

    from raymm.artifacts import (
        Anomaly,
        Explanation,
        Frontier,
        Schema,
        Statistics,
        Table,
        Trials,
    )
    from raymm.lifecycle import Run

__all__ = [
    "as_json",
    "console",
    "duration",
    "explanation",
    "frontier",
    "leaderboard",
    "progress",
    "run",
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


def console() -> Console:
    """Return a rich console of a readable width."""
    from rich.console import Console

    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=110)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; numbers right-aligned, floats to six digits."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table as Grid

    grid = Grid(title=title, box=box.SIMPLE, title_justify="left", pad_edge=False)
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) for row in rows)
        grid.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(escape(_cell(value)) for value in row))
    console().print(grid)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


_REASONS = 3
"""Kinds of failure that are told."""


def leaderboard(trials: Trials, most: int = _ROWS) -> None:
    """Print the best trials, at most ``most``."""
    rows = [
        (
            place,
            trial.number,
            trial.family or "–",
            trial.value,
            trial.rounds,
            trial.status,
            round(trial.seconds, 2),
            _settings(trial.config),
        )
        for place, trial in enumerate(trials.leaderboard[:most], start=1)
    ]
    more = len(trials.leaderboard) - len(rows)
    better = "higher" if trials.direction == "maximize" else "lower"
    title = f"Leaderboard: {trials.metric} on validation rows, {better} is better"
    columns = ("", "trial", "family", trials.metric, "rounds", "status", "seconds", "configuration")
    table(title, columns, rows)
    failed = sum(trial.status == "failed" for trial in trials.trials)
    if more > 0:
        say(f"{more} more")
    if failed:
        say(f"{failed} failed:")
        for reason, number in list(_reasons(trials).items())[:_REASONS]:
            say(f"  trial {number}: {reason}")


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
    rows = [
        (
            "→" if one.chosen else "",
            one.technique,
            _settings(one.parameters),
            one.score,
            one.loss.value,
            one.loss.high,
            one.bytes,
            one.row_microseconds,
        )
        for one in found.candidates
    ]
    columns = (
        "",
        "technique",
        "parameters",
        found.metric,
        "loss",
        "loss at most",
        "bytes",
        "row µs",
    )
    table(f"Compression on {found.rows:,} validation rows", columns, rows)


def explanation(found: Explanation) -> None:
    """Print the columns that matter most, and where contributions come from."""
    rows = [(one.column, one.value, one.low, one.high) for one in found.importance[:_ROWS]]
    table("Permutation importance: loss of the metric", ("column", "loss", "low", "high"), rows)
    say(f"report: contributions of {len(found.outputs)} rows ({found.unit}; {found.method})")


def run(done: Run) -> None:
    """Print what a run has found."""
    leaderboard(done.trials, most=10)
    frontier(done.frontier)
    explanation(done.explanation)
    if done.audit.groups:
        rows = [
            (
                one.column,
                one.value,
                one.rows,
                one.score.metric,
                one.score.value,
                one.score.low,
                one.score.high,
            )
            for one in done.audit.groups
        ]
        table("By group", ("column", "group", "rows", "metric", "value", "low", "high"), rows)
    for anomaly in done.anomalies:
        say(f"note  {anomaly.column or 'table'}: {anomaly.observed}. {anomaly.remedy}")
    score = done.evaluation.score
    others = "  ".join(f"{one.metric} {one.value:.4g}" for one in done.evaluation.others)
    say(
        f"\n{score.metric} {score.value:.6g} on {done.evaluation.rows:,} test rows "
        f"({score.level:.0%} interval {score.low:.6g} to {score.high:.6g}; "
        f"trivial baseline {done.evaluation.baseline:.6g})"
    )
    say(f"also  {others}")
    for check in done.blessing.checks:
        say(f"{'passed' if check.passed else 'FAILED'}  {check.statement}")
    _closing(done)


def _closing(done: Run) -> None:
    version, trials = done.version, done.trials
    state = "blessed" if version.blessed else "NOT blessed"
    state += ", champion" if done.promoted else ", not promoted"
    resumed = f", {trials.resumed} resumed" if trials.resumed else ""
    say(f"\n{version.name} version {version.number}: {state}")
    say(
        f"  bundle   {size(version.bundle_bytes)} "
        f"({size(done.uncompressed_bytes)} before compression)"
    )
    say(
        f"  search   {len(trials.trials)} trials{resumed}, {duration(trials.seconds)}, "
        f"ended by {trials.stopped_by}"
    )
    say(f"  whole    {duration(done.seconds)}")
    say(f"  report   {done.report}")
    say(f"  run      {done.run}")
    if done.promoted:
        say(f"next: raymm deploy {version.name}   or   raymm predict {version.name} DATA -o FILE")


def validation(
    read: Table, described: Statistics, columns: Schema, anomalies: Sequence[Anomaly]
) -> None:
    """Print what is known of a table."""
    for note in read.notes:
        say(f"read  {note}")
    rows = []
    for column in columns.columns:
        found = next((one for one in described.columns if one.name == column.name), None)
        rows.append(
            (
                column.name,
                column.kind,
                column.role,
                found.missing if found else None,
                found.distinct if found else None,
                _range(column),
                column.reason,
            )
        )
    title = f"{described.rows:,} rows; {columns.task} of {columns.target}"
    table(title, ("column", "kind", "role", "missing", "distinct", "values", "why"), rows)
    for anomaly in anomalies:
        place = f"{anomaly.column}: " if anomaly.column else ""
        say(
            f"{anomaly.severity}  {place}{anomaly.observed}; allowed: {anomaly.allowed}. "
            f"{anomaly.remedy}"
        )
    if not anomalies:
        say("no anomalies")


def _range(column: Any) -> str:
    if column.minimum is not None:
        return f"{column.minimum:.6g} to {column.maximum:.6g}"
    words = ", ".join(column.categories[:4])
    return words + (", …" if len(column.categories) > 4 else "")

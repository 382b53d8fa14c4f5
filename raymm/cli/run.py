"""Commands that make models: run, demo, validate, submit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raymm.cli import options, printing
from raymm.counts import counted
from raymm.errors import ConfigError, DataError, NotBlessed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raymm.artifacts import Anomaly, Doubts, Notify, Schema, Statistics, Table
    from raymm.config import RunConfig
    from raymm.lifecycle import Run


@click.command()
@click.argument("source")
@options.run_options
@click.option("--deploy", is_flag=True, help="Serve the model when it is blessed.")
@click.option("--detach", is_flag=True, help="With --deploy: leave the service running.")
@options.json_option
def run(
    source: str,
    settings: tuple[str, ...],
    deploy: bool,
    detach: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Find the best model for SOURCE, prove it and register it.

    SOURCE is a configuration file (.yaml) or a table: CSV or Parquet, a folder or glob of them,
    local or s3://, gs://, az://. The same command again goes on where it stopped.
    """
    if detach and not deploy:
        raise ConfigError("--detach says how to serve. Give --deploy too, or leave it out.")
    with options.as_typed(given):
        _live(_config(source, options.changes(given, settings)), deploy, detach, as_json)


def _config(source: str, changed: dict[str, Any]) -> Any:
    from raymm import config

    if source.endswith((".yaml", ".yml")):
        return config.load(source, changed)
    if "data.target" not in changed:
        raise ConfigError(f"{source} needs a target column. Name it with --target COLUMN.")
    return config.parse({"data": {"source": source}}, changed)


def lived(config: RunConfig, *, as_json: bool, promote: bool | Callable[[], bool] = True) -> Run:
    """Live a model's whole life and print it; raises NotBlessed where its version is not."""
    from raymm.lifecycle import run as live

    with printing.progress(quiet=as_json) as notify:
        done = live(config, notify=notify, promote=promote)
    if not as_json:
        printing.run(done)
    if not done.blessing.blessed:
        failed = " ".join(one.statement for one in done.blessing.checks if not one.passed)
        error = NotBlessed(
            f"{config.name} version {done.version.number} is not blessed and was not promoted: "
            + (failed if as_json else "see FAILED above.")
        )
        error.document = done.summary()
        raise error
    return done


def _live(config: RunConfig, deploy: bool, detach: bool, as_json: bool) -> None:
    done = lived(config, as_json=as_json)
    if as_json and not deploy:
        printing.as_json(done.summary())
    if deploy:
        from raymm.cli.service import serve

        serve(
            config.name,
            config.storage,
            config=config,
            detach=detach,
            as_json=as_json,
            found=done.summary() if as_json else {},
        )


@click.command()
@options.json_option
def demo(as_json: bool) -> None:
    """Show a whole life on iris and breast cancer: tune, prove, serve, watch, stop."""
    from raymm import demo as example

    example.show(sys.stdout, as_json=as_json)


@click.command()
@click.argument("source")
@click.option("--target", default=None, help="Column to predict.")
@click.option("--schema", "schema_file", default=None, help="Schema file to hold the table to.")
@click.option("-o", "--output", default=None, help="Where to write the schema (YAML).")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a configuration key, such as data.time, data.group or data.exclude.",
)
@options.json_option
def validate(
    source: str,
    target: str | None,
    schema_file: str | None,
    output: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show statistics, schema and anomalies of SOURCE, and write the schema to edit.

    Rows are split as a run would, to tell where the parts differ; name the columns that order or
    group them with --set data.time=COLUMN or data.group=COLUMN, as in a run. Quick models tell
    which rows have a doubtful label. Give an edited schema back with --schema FILE here, and to
    raymm run with --set data.schema=FILE.
    """
    from raymm.artifacts import as_record
    from raymm.data import schema, statistics, validation
    from raymm.prediction import require_apart

    columns, config = _held(source, target, schema_file, settings)
    if output:
        require_apart(output, source, source=config.data.source)
    with printing.progress(quiet=as_json) as notify:
        table, described, columns, anomalies, doubtful = _looked_at(config, columns, notify)
    if output:
        schema.write(columns, output)
    if config.data.schema_file:
        described = statistics.reread(table, columns, described)
    found = {"statistics": described, "schema": columns, "anomalies": anomalies, "written": output}
    found["doubtful_labels"] = doubtful
    if not as_json:
        printing.validation(table, described, columns, anomalies)
    try:
        validation.require_valid(anomalies)
    except DataError as error:
        refused = error if as_json else DataError(_refused(anomalies, output))
        refused.document = as_record(found)
        raise refused from None
    if not as_json:
        printing.say(_next(source, columns.target, config.data.schema_file, output, settings))
    else:
        printing.as_json(found)


def _refused(anomalies: Sequence[Anomaly], output: str | None) -> str:
    """Return what is said of a table below its errors, which a run would end with."""
    errors = counted(sum(one.severity == "error" for one in anomalies), "error")
    told = f"the table has {errors}, shown above: a run would end there. Mend the table"
    return f"{told}, or the schema, written to {output}." if output else f"{told} or its schema."


def _looked_at(
    config: RunConfig, columns: Schema | None, notify: Notify
) -> tuple[Table, Statistics, Schema, tuple[Anomaly, ...], Doubts | None]:
    """Return a table, and what statistics, the schema and quick models say of it."""
    import numpy as np

    from raymm import labels
    from raymm.artifacts import Progress
    from raymm.data import ingest, schema, skew, split, statistics, validation

    notify(Progress(stage="data", message=f"reading {config.data.source}"))
    table = ingest.table(config.data)
    rows = counted(len(table.frame), "row")
    notify(Progress(stage="data", message=f"{rows}; describing the columns"))
    described = statistics.describe(table)
    if columns is None:
        columns = schema.infer(table, described, config.data)
    else:
        columns = split.agreed(columns, config.data, table.frame)
    parted = any(split.parting(columns, config.data))
    metric = config.goal.metric
    anomalies = validation.validate(table, columns, described, parted=parted, metric=metric)
    if any(anomaly.severity == "error" for anomaly in anomalies):
        return table, described, columns, anomalies, None
    dataset = split.split(table, columns, config.data, seed=config.seed)
    notify(Progress(stage="data", message="looking for doubtful labels"))
    doubtful = labels.of_rows(dataset, np.arange(len(dataset.y)), seed=config.seed)
    hints = labels.anomalies(doubtful, columns, labels.LEFT)
    return table, described, columns, (*anomalies, *skew.skew(dataset), *hints), doubtful


def _held(
    source: str, target: str | None, schema_file: str | None, settings: tuple[str, ...]
) -> tuple[Schema | None, RunConfig]:
    """Return the schema that a table is held to, None to infer it, and the configuration."""
    from raymm.config import parse
    from raymm.data import schema

    given = {"data.target": target, "data.schema": schema_file}
    changed = {
        **{key: value for key, value in given.items() if value is not None},
        **options.changes({}, settings),
    }
    columns = schema.read(changed["data.schema"]) if "data.schema" in changed else None
    if columns is not None:
        changed.setdefault("data.target", columns.target)
    if "data.target" not in changed:
        raise ConfigError("validate needs --target COLUMN, or --schema FILE.")
    config = parse({"data": {"source": source}}, changed)
    if any(key.partition(".")[0] in ("goal", "search", "compression") for key in changed):
        # The command that is shown next is given them too.
        from raymm.searching import require_names

        require_names(config)
    return columns, config


def _next(
    source: str,
    target: str,
    schema_file: str | None,
    output: str | None,
    settings: tuple[str, ...],
) -> str:
    """Return what to do with the schema: write it, edit it, hold a run to it."""
    import shlex

    known = output or schema_file
    call = f"raymm run {shlex.quote(source)} --target {shlex.quote(target)}"
    for setting in settings:
        if setting.partition("=")[0].strip() not in ("data.schema", "data.target"):
            call += f" --set {shlex.quote(setting)}"
    if known is None:
        return (
            f"next: {call}\nto correct a kind, role or range: write the schema with -o schema.yaml"
        )
    held = f"next: {call} --set data.schema={shlex.quote(known)}"
    if output is None:
        return held
    return f"schema written to {output}: edit kinds, roles and ranges there as you like\n{held}"


@click.command()
@click.argument("file", metavar="FILE.yaml", type=click.Path(dir_okay=False))
@click.option("--address", required=True, help="The job server, such as http://127.0.0.1:8265.")
@click.option("--working-dir", default=".", help="Folder sent along; holds FILE and jobs/run.py.")
def submit(file: str, address: str, working_dir: str) -> None:
    """Run FILE.yaml as a Ray job and follow its logs; exits as the run does."""
    import shlex

    from raymm import cluster, config

    config.load(file)
    inside = Path(file).resolve()
    top = Path(working_dir).resolve()
    if not inside.is_relative_to(top):
        raise ConfigError(f"{file} must lie in the working directory {top}, which is sent along.")
    entry = f"python -m raymm run {shlex.quote(str(inside.relative_to(top)))}"
    sys.exit(cluster.submit(entry, address, working_dir=working_dir))

"""Compression: what was measured of a version, another point of it, and models from elsewhere."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from raymm.cli import options, printing
from raymm.durations import seconds
from raymm.errors import ConfigError, NotBlessed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raymm.artifacts import Frontier, Score
    from raymm.foreign.bundling import Compressed

_FILES = (".txt", ".json", ".ubj", ".onnx")
_WRITTEN = (".raymm", ".onnx")
_WIDTH = 100
"""Characters of a table of forms."""


@click.command()
@click.argument("model", metavar="NAME[@VERSION] | FILE")
@click.option("--pick", default=None, help="Number or technique of another point to register.")
@click.option("--picture", default=None, help="File.svg to write: score against bytes.")
@click.option("--source", default=None, help="With --pick: where the run's table is now.")
@click.option("--data", default=None, help="Table that FILE's model was not trained on.")
@click.option("--target", default=None, help="Column of --data that the model predicts.")
@click.option("-o", "--output", default=None, help="Bundle to write, or .onnx; default FILE.raymm.")
@click.option("--metric", default=None, help="Metric that may lose; by default the task's own.")
@click.option("--max-loss", type=click.FloatRange(min=0), default=None, help="Allowed loss.")
@click.option("--techniques", default=None, help="Names, with commas; default all.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=None, help="Default 0.")
@click.option(
    "--task",
    type=click.Choice(["binary", "multiclass", "regression"]),
    default=None,
    help="What an ONNX graph predicts; by default as the target looks.",
)
@click.option("--time", default=None, help="Time to measure forms, such as 90s; default all.")
@options.storage_option
@options.json_option
def compress(
    model: str,
    pick: str | None,
    picture: str | None,
    source: str | None,
    storage: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Show how a model was compressed and pick another point, or compress a model's FILE.

    With NAME: the points that were measured for the champion, or a version. --pick makes one of
    them a new version, blessed anew on the test rows; promote it with raymm promote.

    With FILE (LightGBM's text, XGBoost's .json or .ubj, an ONNX graph of one float matrix) and
    --data: half of the rows judge, the others are to fit and, where they are enough, to prove
    what is chosen. The libraries' own readers open it: give no file of a stranger.
    """
    options.require_registered(model)
    if picture is not None and Path(picture).suffix.lower() != ".svg":
        raise ConfigError(f"--picture writes an SVG. Give a name that ends in .svg, not {picture}.")
    told = [name for name, value in given.items() if value is not None]
    if given["data"] is None and model.lower().endswith(_FILES) and Path(model).is_file():
        raise ConfigError(
            f"{model} needs rows that it was not trained on. Give them with --data and --target."
        )
    if given["data"] is not None:
        if pick is not None or source is not None or storage is not None:
            raise ConfigError(
                "--pick, --source and --storage are for a registered model. Leave them out, or "
                "give NAME without --data."
            )
        _outside(model, picture, as_json=as_json, **given)
        return
    if told:
        raise ConfigError(
            f"{', '.join('--' + one.replace('_', '-') for one in told)} "
            f"{'is' if len(told) == 1 else 'are'} for a model file with --data. Leave out, or "
            "give FILE and --data."
        )
    if pick is not None and picture is not None:
        raise ConfigError("--picture shows the points to pick from. Leave --pick out.")
    _registered(model, pick, source, options.storage_of(storage), picture, as_json=as_json)


# ------------------------------------------------------------------------------ registered models


def _registered(
    model: str,
    pick: str | None,
    source: str | None,
    storage: str,
    picture: str | None,
    *,
    as_json: bool,
) -> None:
    from raymm import picking
    from raymm.registry.versions import Registry, version_of

    registry = Registry(storage)
    name, number = version_of(model)
    if number is not None:
        version = registry.version(name, number)
    else:
        version = registry.champion(name) or registry.versions(name)[-1]
    if pick is None:
        found = picking.frontier_of(registry, version)
        _draw(found, picture)
        if as_json:
            printing.as_json({"name": name, "version": version.number, "frontier": found})
            return
        title = f"{name} version {version.number}, trained without these {found.rows:,} rows"
        _table(title, found)
        printing.say(f"next: raymm compress {name}@{version.number} --pick NUMBER")
        return
    with printing.progress(quiet=as_json) as notify:
        done = picking.pick(storage, name, version.number, pick, source=source, notify=notify)
    champion = registry.champion(name)
    reigns = champion is not None and champion.number == done.version.number
    _picked(name, done, reigns=reigns, as_json=as_json)


def _picked(name: str, done: Any, *, reigns: bool, as_json: bool) -> None:
    document = {
        "name": name,
        "version": done.version.number,
        "blessed": done.blessing.blessed,
        "technique": done.candidate.technique,
        "parameters": dict(done.candidate.parameters),
        "bundle_bytes": done.version.bundle_bytes,
        **done.version.summary,
        "report": done.report,
    }
    if not as_json:
        score = done.evaluation.told
        printing.say(
            f"{score.metric} {score.value:.6g} on {done.evaluation.rows:,} test rows "
            f"({score.level:.0%} interval {score.low:.6g} to {score.high:.6g})"
        )
        if done.version.summary.get("refit") == "all":
            printing.say(f"      of {done.version.summary['score_of']}")
        for check in done.blessing.checks:
            printing.say(f"{check.word:6}  {check.statement}")
        state = "the champion already" if reigns else "not promoted"
        state = f"blessed, {state}" if done.blessing.blessed else "NOT blessed"
        printing.say(
            f"\n{name} version {done.version.number}: {done.candidate.technique}, {state}, "
            f"{printing.size(done.version.bundle_bytes)}\n  report   {done.report}"
        )
    if not done.blessing.blessed:
        failed = " ".join(one.statement for one in done.blessing.checks if not one.passed)
        error = NotBlessed(f"{name} version {done.version.number} is not blessed: {failed}")
        error.document = document
        raise error
    if as_json:
        printing.as_json(document)
    elif not reigns:
        printing.say(f"next: raymm promote {name} {done.version.number}")


# ------------------------------------------------------------------------------- models from files


def _outside(model: str, picture: str | None, *, as_json: bool, **given: Any) -> None:
    from raymm.foreign.bundling import compress as bundled

    if given["target"] is None:
        raise ConfigError(f"{given['data']} needs a target column. Name it with --target COLUMN.")
    if given["max_loss"] is not None and not math.isfinite(given["max_loss"]):
        raise ConfigError(f"--max-loss must be a number of at least 0, but is {given['max_loss']}.")
    try:
        limit = seconds(given["time"])
    except ValueError as error:
        raise ConfigError(f"--time {error}") from error
    output = _output(model, given["data"], given["output"])
    techniques = _techniques(given["techniques"])
    with printing.progress(quiet=as_json) as notify:
        done = bundled(
            model,
            given["data"],
            given["target"],
            metric=given["metric"] or "auto",
            max_loss=0.0005 if given["max_loss"] is None else given["max_loss"],
            techniques=techniques,
            seed=given["seed"] or 0,
            seconds=limit,
            task=given["task"],
            notify=notify,
        )
    _draw(done.frontier, picture)
    plain = output.suffix.lower() == ".onnx"
    data = done.bundle.graph if plain else done.bundle.to_bytes()
    try:
        whole = output.with_name(f".{output.name}.{os.getpid()}")
        whole.write_bytes(data)
        os.replace(whole, output)
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror}.") from error
    if as_json:
        printing.as_json(
            {
                "library": done.facts.library,
                "file_bytes": done.facts.bytes,
                "output": str(output),
                "output_bytes": len(data),
                "frontier": done.frontier,
                "notes": done.notes,
                "checks": done.checks,
            }
        )
    else:
        _written(model, done, output, len(data))


def _techniques(given: str | None) -> Sequence[str] | Literal["auto"]:
    """Return the names, each a technique's, before anything is read, which takes seconds."""
    from raymm.plugins import compressors

    if given is None:
        return "auto"
    names = [one.strip() for one in given.split(",")]
    for name in names:
        compressors.get(name)
    return names


def _output(model: str, data: str, given: str | None) -> Path:
    """Return the file to write; ConfigError where it is read, or nothing reads such a file."""
    from raymm.prediction import require_apart

    output = Path(given or f"{Path(model).stem}.raymm")
    if not output.parent.is_dir():
        raise ConfigError(f"{output} cannot be written: {output.parent} is not a folder.")
    require_apart(str(output), model, source=data)
    if output.suffix.lower() not in _WRITTEN:
        raise ConfigError(
            f"{output} would be read by nothing: a bundle ends in .raymm, and a plain graph in "
            ".onnx. Give such a name with -o."
        )
    return output


def _written(model: str, done: Compressed, output: Path, count: int) -> None:
    for note in done.notes:
        printing.say(f"note  {note}")
    title = f"{model} ({done.facts.library}, {printing.size(done.facts.bytes)}), judged on "
    title += f"{done.frontier.rows:,} rows that nothing was fitted to"
    _table(title, done.frontier, done.facts.bytes)
    for check in done.checks:
        printing.say(f"{check.word:6}  {check.statement}")
    if done.checks and not done.checks[-1].passed:
        printing.say("It is written as it was; more rows or a higher --max-loss may change that.")
    printing.say(f"{output}: {_shrunk(count, done.facts.bytes, model)}")


def _shrunk(count: int, before: int, model: str) -> str:
    """Say what a file of so many bytes is beside the model's.

    >>> _shrunk(1_000, 12_340, "m.txt")
    '1.0 kB, 12.3 times smaller than m.txt'
    >>> _shrunk(5_341, 5_129, "m.onnx")
    '5,341 bytes, larger than it was (m.onnx: 5,129 bytes)'
    """
    if count < before:
        return f"{printing.size(count)}, {before / count:.1f} times smaller than {model}"
    how = "larger than it was" if count > before else "as large as it was"
    return f"{count:,} bytes, {how} ({model}: {before:,} bytes)"


def _table(title: str, found: Frontier, file_bytes: int = 0) -> None:
    """Print a frontier, with the numbers that --pick takes and sizes beside the file's."""
    from raymm import allowance

    whole = file_bytes or found.candidates[0].bytes
    rows = [
        (
            number,
            "→" if one.chosen else "",
            _folded(one.technique, "+"),
            " ".join(
                f"{key.rpartition('.')[2]}={_short(value)}" for key, value in one.parameters.items()
            ),
            one.score,
            float(f"{one.loss.value:.3g}"),
            _folded(_between(one.loss), " … "),
            one.bytes,
            round(whole / one.bytes, 1),
            round(one.row_microseconds, 1),
            float(f"{one.thousand_microseconds / 1000:.3g}") or None,
            round(one.heap_bytes / 1000) or None,
        )
        for number, one in enumerate(found.candidates, start=1)
    ]
    for one in found.left_out:
        printing.say(f"left out: {one}")
    columns = ("", "", "technique", "parameters", _folded(found.metric, "_"), "loss")
    more = ("its\ninterval", "bytes", "times\nless", "row\nµs", "1,000\nrows\nms", "memory\nkB")
    heading = f"{title}; {allowance.statement(found)}"
    printing.table(heading, (*columns, *more), rows, width=_WIDTH, unfolded="technique")
    _controls(found)
    _anew(found)


def _anew(found: Frontier) -> None:
    """Say which forms are no smaller forms of the model, but were trained without it."""
    anew = {
        number: one.chosen
        for number, one in enumerate(found.candidates, start=1)
        if "retrain" in one.technique.split("+")
    }
    if not anew:
        return
    are = "is a new small model" if len(anew) == 1 else "are new small models"
    chosen = next((f"; {number} is chosen" for number in anew if anew[number]), "")
    printing.say(
        f"retrain: {', '.join(map(str, anew))} {are} trained on the labels alone, not the model "
        f"made smaller{chosen}"
    )


def _controls(found: Frontier) -> None:
    """Say what students are better by than their controls, those of one student together."""
    compared: dict[Score, list[int]] = {}
    for number, one in enumerate(found.candidates, start=1):
        if one.over_control is not None:
            compared.setdefault(one.over_control, []).append(number)
    if not compared:
        return
    printing.say(
        "students against the same trained on the labels alone, which they must surely beat:"
    )
    for gain, numbers in compared.items():
        sure = "surely better" if gain.low > 0 else "not surely better, so never chosen"
        printing.say(
            f"  {', '.join(map(str, numbers))}: {found.metric} better by {gain.value:.3g} "
            f"({_between(gain)}), {sure}"
        )


def _between(score: Score) -> str:
    return f"{score.low:.2g} … {score.high:.2g}"


def _folded(words: str, sign: str) -> str:
    """Write words in several lines, each but the last ending with the sign, where one is too long.

    >>> _folded("prune+quantize", "+"), _folded("-0.001 … 0.01", " … ").splitlines()
    ('prune+quantize', ['-0.001 …', '0.01'])
    """
    longest = 16 if sign == "+" else 9
    return words if len(words) <= longest else words.replace(sign, f"{sign.rstrip()}\n")


def _draw(found: Frontier, picture: str | None) -> None:
    """Write the picture of a frontier, where one is asked for."""
    if picture is None:
        return
    from raymm.report.frontier import alone

    try:
        Path(picture).write_text(alone(found), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{picture} cannot be written: {error.strerror}.") from error


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

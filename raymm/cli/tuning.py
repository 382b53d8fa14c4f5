"""The command that tunes a function of one's own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from raymm.cli import options, printing
from raymm.errors import ConfigError

if TYPE_CHECKING:
    from raymm.artifacts import Notify, Progress
    from raymm.tuned import Tuned

_LEADERS = 10


@click.command()
@click.argument("function", metavar="MODULE:FUNCTION")
@click.argument("space", metavar="SPACE.yaml")
@click.option("--metric", default=None, help="Key of the result to optimise.")
@click.option(
    "--mode",
    type=click.Choice(["min", "max"]),
    default=None,
    help="Where the metric is best; losses and scores are known by name.",
)
@click.option(
    "--objective",
    "objective",
    multiple=True,
    metavar="NAME[:min|max]",
    help="One of several keys to optimise together; give one for each.",
)
@click.option(
    "--constraint",
    "constraint",
    multiple=True,
    metavar="NAME<=NUMBER",
    help="With --objective: a bound to keep, <= or >=, in quotes.",
)
@click.option("--trials", type=int, default=None, help="Configurations to try in all.")
@click.option("--time", default=None, help="Time for the search, such as 90s or 5m (hard).")
@click.option("--compute", default=None, help="CPU time of all trials together, such as 1h.")
@click.option("--plateau", default=None, help="End after so many trials without progress, or auto.")
@click.option("--algorithm", default="auto", help="Search algorithm: auto, gp, tpe, bohb, pbt, …")
@click.option(
    "--scheduler",
    type=click.Choice(["auto", "asha", "median", "none"]),
    default=None,
    help="What stops reporting trials early; auto: budgets, where both are given.",
)
@click.option("--min-budget", type=float, default=None, help="Fewest reports (bohb, pbt, …).")
@click.option("--max-budget", type=float, default=None, help="Most reports of a trial.")
@click.option("--trial-timeout", default=None, help="Time for one trial; then it has failed.")
@click.option("--max-failures", type=int, default=None, help="Retries where a worker died.")
@click.option("--name", default=None, help="Stem of the run's name; by default the function's.")
@click.option("--parallel", type=int, default=None, help="Trials at once; default one a CPU.")
@click.option("--cpus", type=int, default=None, help="CPUs of a trial.")
@click.option("--gpus", type=float, default=None, help="GPUs of a trial.")
@click.option("--address", default="auto", help="Ray cluster to use: auto, local or an address.")
@click.option("--seed", type=int, default=0, help="Decides every random choice (default 0).")
@options.storage_option
@options.json_option
def tune(
    function: str,
    space: str,
    as_json: bool,
    objective: tuple[str, ...],
    constraint: tuple[str, ...],
    **given: Any,
) -> None:
    """Tune MODULE:FUNCTION, which takes a configuration and returns a number or a mapping.

    It may report as it trains, and hand on checkpoints: f(config, report). The same command
    again goes on where it stopped.
    """
    from raymm import reference, tuning

    if constraint and not objective:
        raise ConfigError("--constraint goes with --objective NAME:min or NAME:max. Give it too.")
    if objective and (given["metric"] or given["mode"]):
        raise ConfigError("--objective takes the place of --metric and --mode. Leave these out.")
    with options.as_typed(dict.fromkeys(given, True)):
        given |= {"objectives": objectives(objective), "constraints": constraints(constraint)}
        loaded = reference.load(function)
        said = tuning.unsaid(loaded, given)
        if said:
            click.echo(f"note  {options.typed(said, given)}", err=True)
        with printing.progress(quiet=as_json) as notify:
            found = tuning.tune(loaded, space, notify=_typed(notify, given), **given)
    if as_json:
        printing.as_json(found.summary())
    else:
        show(found, unsaid=bool(said))


def _typed(notify: Notify, given: dict[str, Any]) -> Notify:
    def tell(event: Progress) -> None:
        notify(replace(event, message=options.typed(event.message, given)))

    return tell


def objectives(given: tuple[str, ...]) -> dict[str, str] | None:
    """Return objectives by name from ``NAME:min``, ``NAME:max`` or a NAME that tells.

    Raises
    ------
    ConfigError
        When one says neither, or is given twice.
    """
    from raymm.search.goals import usual_mode

    found: dict[str, str] = {}
    for text in given:
        name, colon, mode = text.rpartition(":") if ":" in text else (text, "", "")
        known = mode if colon else usual_mode(name)
        if not name or known not in ("min", "max"):
            raise ConfigError(
                f'--objective {text} must say where it is best: write "{name or text}:min" or '
                f'"{name or text}:max".'
            )
        if name in found:
            raise ConfigError(f"--objective {name} is given twice. Give it once.")
        found[name] = known
    return found or None


def constraints(given: tuple[str, ...]) -> dict[str, tuple[float | None, float | None]] | None:
    """Return bounds by name from ``NAME<=NUMBER`` and ``NAME>=NUMBER``; two of a name go together.

    Raises
    ------
    ConfigError
        When one is written otherwise.
    """
    found: dict[str, tuple[float | None, float | None]] = {}
    for text in given:
        parts = re.fullmatch(r"\s*(.+?)\s*(<=|>=)\s*(\S+)\s*", text)
        try:
            bound = float(parts[3]) if parts else None
        except ValueError:
            bound = None
        if parts is None or bound is None:
            raise ConfigError(
                f'--constraint takes "NAME<=NUMBER" or "NAME>=NUMBER", such as "latency_ms<=5", '
                f"in quotes, but got {text!r}."
            )
        low, high = found.get(parts[1], (None, None))
        found[parts[1]] = (low, bound) if parts[2] == "<=" else (bound, high)
    return found or None


def show(found: Tuned, *, unsaid: bool = False) -> None:
    """Print what tuning has found: the leaders, the best ready to paste, what to type next."""
    if found.goals is not None:
        printing.front(found.trials, found.goals, found.budgets)
    else:
        printing.leaderboard(found.trials, most=_LEADERS, budgets=found.budgets)
    side = "highest" if found.trials.direction == "maximize" else "lowest"
    if found.goals is None:
        printing.say(f"best       {found.trials.metric} {found.best_value:.6g}, the {side}")
        if unsaid:
            printing.say("           where lower is better: the same command with --mode min")
    else:
        printing.say(f"first      {found.trials.metric} {found.best_value:.6g}")
    printing.say(f"  config   {found.best_config}")
    counts = found.counts()
    told = [f"{counts['finished']} finished"]
    told += [f"{counts['stopped']} stopped early"] if counts["stopped"] else []
    told += [f"{counts['failed']} failed"] if counts["failed"] else []
    if found.trials.resumed:
        told.append(f"{found.trials.resumed} of them read from an earlier run")
    printing.say(f"  trials   {len(found.trials.trials)}: {', '.join(told)}")
    seconds = printing.duration(found.trials.seconds)
    printing.say(f"  search   {seconds}, ended by {found.trials.stopped_by}")
    printing.say(f"  run      {found.run}")
    more = max(10, 2 * len(found.trials.trials))
    printing.say(
        f"next: raymm report {found.run}   or   raymm leaderboard {found.run}\n"
        f"to go on: the same command with --trials {more}"
    )

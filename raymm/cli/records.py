"""Commands that read what is stored, and need no cluster."""

from __future__ import annotations

from typing import Any

import click

from raymm.cli import options, printing
from raymm.counts import counted
from raymm.errors import ConfigError, NotFound, RegistryError


@click.command()
@options.storage_option
@options.json_option
def runs(storage: str | None, as_json: bool) -> None:
    """List the runs, the latest last: of what, whether they go on, how far they have come."""
    from raymm.cli.reporting import entry
    from raymm.search.ledger import list_runs

    place = options.storage_of(storage)
    found: list[dict[str, Any]] = []
    for name in list_runs(place):
        try:
            found.append(entry(name, place))
        except NotFound:  # begun just now: nothing is written yet
            continue
        except RegistryError as error:
            told = f"damaged: {error}"
            rest = dict.fromkeys(("trials", "metric", "best", "seconds", "changed"))
            found.append({"run": name, "state": "damaged", "last stage": told, **rest})
    found.sort(key=lambda one: (one["changed"] or "", one["run"]))
    if as_json:
        printing.as_json({"runs": found})
    elif not found:
        printing.say(f"no runs in {place} yet")
    else:
        printing.runs(found)


@click.command()
@click.argument("run", metavar="RUN | NAME[@VERSION]")
@options.storage_option
@options.json_option
def leaderboard(run: str, storage: str | None, as_json: bool) -> None:
    """Show the trials of RUN, best first.

    With NAME: of the newest run of a model or function; with NAME@VERSION, of the run that made it.
    """
    from raymm.cli import reporting
    from raymm.search.account import budgets_of
    from raymm.search.ledger import Ledger

    place = options.storage_of(storage)
    if "@" in run:
        run = _version_of(run, storage)[1].run
    found = reporting.run_of(run, place)
    _chosen(run, found, place)
    ledger = Ledger.read(place, found)
    trials, head, _ = reporting.trials_of(ledger)
    budgets, goals = budgets_of(ledger), reporting.goals_of(trials, head)
    if as_json:
        states = {str(one.number): budgets.standing(one) for one in trials.leaderboard}
        front = {} if goals is None else {"front": sorted(reporting.front(trials, head))}
        told = {"run": found, "trials": trials.leaderboard, "states": states, **front}
        printing.as_json(told)
        return
    if goals is not None:
        printing.front(trials, goals, budgets)
    printing.leaderboard(trials, budgets=budgets)


def _chosen(named: str, run: str, storage: str) -> None:
    """Say which run was taken where a name stood for several."""
    from raymm.cli.reporting import alike

    if named != run and len(alike(named, storage)) > 1:
        count = len(alike(named, storage))
        click.echo(
            f"note  {run} is the newest of {count} runs of {named}; raymm runs lists the others, "
            "and each can be given by its whole name",
            err=True,
        )


def _version_of(named: str, storage: str | None) -> tuple[Any, Any]:
    """Return the registry, and the version that NAME, NAME@NUMBER or a run stands for, or None.

    A model stands for its champion, else for its newest version; a run for the newest that it has
    made, if any. Which one it is of several is told on the error output.

    Raises
    ------
    ConfigError
        When it is a bundle file.
    NotFound
        When there is no version of that number.
    """
    from raymm.registry.versions import Registry, version_of

    options.require_registered(named)
    registry = Registry(options.storage_of(storage))
    name, number = version_of(named)
    if number is not None:
        return registry, registry.version(name, number)
    model = name if name in registry.models() else name.rpartition("-")[0]
    versions = registry.versions(model) if model in registry.models() else ()
    if name != model:
        versions = tuple(one for one in versions if one.run == name)
    if not versions:
        return registry, None
    champion = registry.champion(name) if name == model else None
    version, which = champion or versions[-1], "the champion" if champion else "the newest"
    if name != model:
        which += f" of {len(versions)}"
    elif champion is None:
        which += " as none is the champion"
    if len(versions) > 1:
        click.echo(
            f"note  {model} version {version.number}, {which}, of run {version.run}; raymm models "
            f"{model} lists the others, and {model}@NUMBER names one",
            err=True,
        )
    return registry, version


@click.command()
@click.argument("model", metavar="NAME[@VERSION] | RUN")
@click.option("-o", "--output", default=None, help="Default RUN.html, or RUN-VERSION.html.")
@options.storage_option
def report(model: str, output: str | None, storage: str | None) -> None:
    """Write the HTML report of a model or a run into this folder, or to -o FILE.

    With NAME: of its champion, or of its newest version where none was promoted. With RUN: of the
    newest version that it has made; a run that has made none, as of raymm tune or one not
    finished, is told from its ledger. Where a run has made several versions, as raymm compress
    --pick does, the file is called RUN-VERSION.html.
    """
    from pathlib import Path

    from raymm.cli import reporting
    from raymm.report.html import numbered

    registry, version = _version_of(model, storage)
    if version is None:
        found = reporting.run_of(model, options.storage_of(storage))
        _chosen(model, found, options.storage_of(storage))
        page = reporting.page(found, options.storage_of(storage))
    else:
        made = sum(one.run == version.run for one in registry.versions(version.name))
        found = version.run if made == 1 else f"{version.run}-{version.number}"
        page = numbered(registry.part(version, "report.html").decode(), version.number)
    # A stored name is no path: the page goes to this folder, whatever the record says.
    path = reporting.write(page.encode(), Path(output or f"{Path(found).name}.html"))
    if output is None:
        click.echo("note  written to the folder you are in; -o FILE writes it elsewhere", err=True)
    printing.say(str(path))


@click.command()
@click.argument("model", metavar="NAME[@VERSION] | RUN")
@options.storage_option
@options.json_option
def explain(model: str, storage: str | None, as_json: bool) -> None:
    """Show what a model, or that of a run, rests on.

    With NAME: its champion, or its newest version where none was promoted. With RUN: the newest
    version that it has made.
    """
    import json

    from raymm.artifacts import Explanation, from_record

    registry, version = _version_of(model, storage)
    if version is None:
        raise NotFound(
            f'there is no model "{model}", and no run of this name that has made a version. List '
            "them with: raymm models   or   raymm runs"
        )
    record = json.loads(registry.part(version, "explanation.json"))
    if as_json:
        printing.as_json(record)
    else:
        printing.explanation(from_record(Explanation, record))
        printing.say(f"to write that report here: raymm report {version.name}@{version.number}")


@click.command()
@click.argument("name", required=False)
@options.storage_option
@options.json_option
def models(name: str | None, storage: str | None, as_json: bool) -> None:
    """List the models, or the versions of NAME."""
    from raymm.registry.versions import Registry

    registry = Registry(options.storage_of(storage))
    names = [name] if name else registry.models()
    found = [version for one in names for version in registry.versions(one)]
    champions = {one: registry.champion(one) for one in names}
    if as_json:
        numbers = {one: champion.number for one, champion in champions.items() if champion}
        printing.as_json({"versions": found, "champions": numbers})
        return
    rows = [
        (
            v.name,
            v.number,
            "champion" if champions[v.name] == v else "",
            _yes(v.blessed),
            v.summary.get("metric"),
            v.summary.get("score"),
            (v.summary.get("best") or {}).get("family"),
            printing.size(v.bundle_bytes),
            v.created,
        )
        for v in found
        if name or champions[v.name] in (v, None)
    ]
    columns = ("name", "version", "", "blessed", "metric", "score", "family", "bundle", "created")
    printing.table("Models", columns, rows)
    for v in found:
        if v.summary.get("refit") == "all" and (name or champions[v.name] in (v, None)):
            printing.say(f"{v.name} {v.number}: the score is of {v.summary['score_of']}")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


@click.command()
@click.option("--repair", is_flag=True, help="Remove what a kill has left half-written.")
@options.storage_option
@options.json_option
def fsck(repair: bool, storage: str | None, as_json: bool) -> None:
    """Check every record, hash and number; exits with 6 where something is damaged."""
    from raymm.artifacts import as_record
    from raymm.registry.fsck import fsck as check
    from raymm.registry.versions import Registry

    findings = check(Registry(options.storage_of(storage)), repair=repair)
    damage = [one for one in findings if one.severity == "error"]
    if as_json and not damage:
        printing.as_json({"findings": findings, "damaged": False})
    if not as_json:
        for one in findings:
            printing.say(f"{one.severity}  {one.path}: {one.statement}")
    if damage:
        error = RegistryError(f"{len(damage)} records or blobs are damaged; see above.")
        error.document = as_record({"findings": findings, "damaged": True})
        raise error
    if not as_json:
        printing.say("everything stored is whole")


@click.command()
@click.argument("version", metavar="NAME@VERSION")
@click.option("--source", default=None, help="Where the same table is now.")
@options.storage_option
@options.json_option
def replay(version: str, source: str | None, storage: str | None, as_json: bool) -> None:
    """Rebuild NAME@VERSION from its lineage and compare the hashes."""
    from raymm.lifecycle import replay as rebuild
    from raymm.registry.versions import version_of

    name, number = version_of(version)
    if number is None:
        raise ConfigError(f'a version is written NAME@NUMBER, such as churn@3, not "{version}".')
    same, stored, rebuilt = rebuild(options.storage_of(storage), name, number, source)
    if as_json:
        printing.as_json({"same": same, "stored": stored, "rebuilt": rebuilt})
    else:
        printing.say(f"stored   {stored}\nrebuilt  {rebuilt}")
        printing.say("the same, byte for byte" if same else "they differ")
    if not same:
        raise SystemExit(1)


@click.command()
@click.argument("name", metavar="NAME[@VERSION] | FILE.raymm")
@click.argument("data")
@click.option("-o", "--output", required=True, help="Where to write predictions (CSV).")
@click.option("--version", type=int, default=None, help="A version other than the champion.")
@options.storage_option
@options.json_option
def predict(
    name: str, data: str, output: str, version: int | None, storage: str | None, as_json: bool
) -> None:
    """Predict the rows of DATA with the champion of NAME, or a version, into a CSV file.

    Instead of NAME, a bundle file that ends in .raymm, such as raymm compress -o writes.
    """
    from raymm.prediction import predict_file

    rows, number, notes = predict_file(
        options.storage_of(storage), name, data, output, version=version
    )
    if as_json:
        printing.as_json({"rows": rows, "version": number, "output": output, "notes": notes})
    else:
        for note in notes:
            click.echo(f"note  {note}", err=True)
        by = name if number is None else f"{name.partition('@')[0]} version {number}"
        printing.say(f"{counted(rows, 'row')} predicted by {by}, written to {output}")

"""The command that makes a model anew: here and now, or by the loop that keeps it."""

from __future__ import annotations

import shlex
from os.path import abspath, expanduser
from typing import TYPE_CHECKING, Any

import click

from raymm.cli import options, printing

if TYPE_CHECKING:
    from raymm.config import RunConfig


@click.command()
@click.argument("model", metavar="NAME")
@click.argument("source", metavar="[DATA]", required=False)
@click.option("--trial", is_flag=True, help="Ask raymm keep to train now and to try the version.")
@click.option("--reason", default="", help="With --trial: recorded in the history.")
@click.option("--promote", is_flag=True, help="Let it take over untried even if NAME is served.")
@options.run_options
@options.json_option
def retrain(
    model: str,
    source: str | None,
    trial: bool,
    reason: str,
    promote: bool,
    settings: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Run again on DATA with the configuration that made the champion of NAME.

    A blessed version takes over at once, unless NAME is known to be served, by this machine or by
    its storage: then it is only registered, and --promote lets it take over all the same.

    With --trial the loop of raymm keep, on any machine with the same storage, trains within its
    next round, on DATA where that is given, tries the version in shadow and as a canary, and
    promotes or removes it. The request is taken up once, when no trial runs.
    """
    if trial:
        others = [key for key, one in given.items() if key != "storage" and one is not None]
        if others or settings or promote:
            raise click.UsageError(
                "--trial leaves the training to raymm keep and its options, so it goes with DATA, "
                "--reason, --storage and --json alone. Leave out the others."
            )
        _wish(model, source, reason, given["storage"], as_json)
        return
    if source is None or reason:
        raise click.UsageError(
            "Give DATA to train on, and no --reason; or --trial, to let raymm keep train."
        )
    from raymm.lifecycle import again

    with options.as_typed(given):
        config = again(model, source, options.changes({**given, "name": None}, settings))
    _train(model, config, promote, as_json)


def _train(model: str, config: RunConfig, promote: bool, as_json: bool) -> None:
    from raymm import served
    from raymm.cli.run import lived

    why = ""

    def unserved() -> bool:
        nonlocal why
        why = served.known(model, config.storage)
        return not why

    # Asked once it is trained: it may have been deployed meanwhile.
    done = lived(config, as_json=as_json, promote=promote or unserved)
    untried = bool(why) and not done.promoted
    if as_json:
        printing.as_json({**done.summary(), "untried": untried, "served": why})
    elif untried:
        number = done.version.number
        printing.say(
            f"{model} is served ({why}), so version {number} does not take over untried.\n"
            f"next: raymm shadow {model} {number}   it answers unseen, raymm monitor compares\n"
            f"      raymm promote {model} {number}   it takes over at once\n"
            f"      raymm retrain {model} --trial   raymm keep trains, tries and decides"
        )


def _wish(model: str, source: str | None, reason: str, storage: str | None, as_json: bool) -> None:
    from raymm import wishing
    from raymm.data.files import require_local
    from raymm.errors import DataError
    from raymm.sole import held

    place = options.storage_of(storage)
    data = abspath(expanduser(source)) if source and "://" not in source else source or ""
    try:
        if data:
            require_local(data)
    except DataError as error:
        if held(wishing.lock_of(model)):  # the loop of this home would read it here
            raise
        click.echo(f"warning: {error} raymm keep reads it where that runs.", err=True)
    answer = wishing.ask(model, place, reason=reason, source=data)
    request = answer.request
    if as_json:
        printing.as_json({"name": model, "request": request, **_state(answer)})
        return
    on = f" on {data}" if data else ""
    printing.say(
        f"request {request.sequence} of {request.who} is recorded: {model} is trained{on}, then "
        "tried in shadow and as a canary before it takes over"
    )
    if answer.kept:
        printing.say("  raymm keep runs here and takes it up in its next round")
    else:
        more = f" --storage {shlex.quote(storage)}" if storage else ""
        printing.say(
            "  no raymm keep of it runs from this home. Unless one runs elsewhere, start one; it "
            f"takes this up:\n    raymm keep {model} {shlex.quote(data) if data else 'DATA'}{more}"
        )
    if answer.busy:
        printing.say(f"  it begins when this is over: {answer.busy}")
    printing.say(f"  watch  raymm release {model}")


def _state(answer: Any) -> dict[str, Any]:
    return {"kept_here": answer.kept, "waits_for": answer.busy}

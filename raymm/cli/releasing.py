"""Commands that say which version is served, and to whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from raymm.cli import options, printing
from raymm.counts import counted
from raymm.errors import NotFound, ServingError

_WAIT_SECONDS = 120.0


def _changing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every change of a release has."""
    for option in reversed(
        (
            click.option("--wait", is_flag=True, help="Return when every replica has switched."),
            click.option("--url", default="", help="Address of the service, where it is remote."),
            click.option(
                "--token", envvar="RAYMM_TOKEN", default="", help="Its token; default RAYMM_TOKEN."
            ),
            options.storage_option,
            options.json_option,
        )
    ):
        command = option(command)
    return command


_FORCE = click.option("--force", is_flag=True, help="Release it although it is not blessed.")


@click.command()
@click.argument("name")
@click.argument("version", type=int)
@click.option("--reason", default="by hand", help="Recorded in the history.")
@_FORCE
@_changing
def promote(
    name: str, version: int, reason: str, force: bool, storage: str | None, **how: Any
) -> None:
    """Make VERSION of NAME the champion; a running service takes it over by itself."""
    made = _releases(name, storage).promote(version, reason=reason, force=force)
    _changed(made, f"{name} version {made.number} is the champion ({made.reason})", **how)


@click.command()
@click.argument("name")
@click.option("--reason", default="rolled back by hand", help="Recorded in the history.")
@_changing
def rollback(name: str, reason: str, storage: str | None, **how: Any) -> None:
    """Make the champion before this one the champion of NAME again."""
    made = _releases(name, storage).rollback(reason=reason)
    _changed(made, f"{name} version {made.number} is the champion ({made.reason})", **how)


@click.command()
@click.argument("name")
@click.argument("version", type=int, required=False)
@click.option("--share", type=float, default=0.1, help="Of the requests; default 0.1.")
@click.option("--end", is_flag=True, help="End the canary instead.")
@click.option("--reason", default="by hand", help="Recorded in the history.")
@_FORCE
@_changing
def canary(
    name: str,
    version: int | None,
    share: float,
    end: bool,
    reason: str,
    force: bool,
    storage: str | None,
    **how: Any,
) -> None:
    """Let VERSION of NAME answer a share of the requests.

    It is ended by itself where it fails more often or is slower than the champion, or where labels
    show that it answers worse.
    """
    releases = _releases(name, storage)
    if _ends(end, version):
        made = releases.end("canary", reason=reason)
        _changed(made, f"{name} version {made.number} is no canary any more ({reason})", **how)
        return
    assert version is not None
    made = releases.canary(version, share, reason=reason, force=force)
    _changed(made, f"{name} version {version} answers {made.share:.1%} of the requests", **how)


@click.command()
@click.argument("name")
@click.argument("version", type=int, required=False)
@click.option("--end", is_flag=True, help="End the shadow instead.")
@click.option("--reason", default="by hand", help="Recorded in the history.")
@_FORCE
@_changing
def shadow(
    name: str,
    version: int | None,
    end: bool,
    reason: str,
    force: bool,
    storage: str | None,
    **how: Any,
) -> None:
    """Let VERSION of NAME compute answers that only the monitor sees."""
    releases = _releases(name, storage)
    if _ends(end, version):
        made = releases.end("shadow", reason=reason)
        _changed(made, f"{name} version {made.number} is no shadow any more ({reason})", **how)
        return
    assert version is not None
    made = releases.shadow(version, reason=reason, force=force)
    _changed(made, f"{name} version {version} is in shadow: raymm monitor {name} shows it", **how)


def _ends(end: bool, version: int | None) -> bool:
    if end == (version is not None):
        raise click.UsageError("Give a VERSION, or --end without one.")
    return end


@click.command()
@click.argument("name")
@click.option("--url", default="", help="Address of the service, where it runs elsewhere.")
@click.option("--token", envvar="RAYMM_TOKEN", default="", help="Its token; default RAYMM_TOKEN.")
@options.storage_option
@options.json_option
def release(name: str, url: str, token: str, storage: str | None, as_json: bool) -> None:
    """Show which versions of NAME are served to whom, how each replica stands, and the history."""
    releases = _releases(name, storage)
    now, history = releases.current(), releases.changes()
    decisions = _registry(name, storage).decisions(name).all()
    requests = _registry(name, storage).wishes(name).all()
    standing = _standing(name, url, token)
    if as_json:
        printing.as_json(
            {
                "release": now,
                "history": history,
                "decisions": decisions,
                "requests": requests,
                "service": standing,
            }
        )
        return
    served = [(now.champion, "champion"), (now.canary, "canary"), (now.shadow, "shadow")]
    tell = {"canary": f"{now.share:.1%} of the requests", "shadow": "answers nobody"}
    rows = [
        (number, role, tell.get(role, "the others" if now.canary else "every request"))
        for number, role in served
        if number is not None
    ]
    printing.table(f"{name}: what is released", ("version", "role", "answers"), rows)
    if standing is not None:
        _show_standing(standing, now.sequence)
    printing.table(
        "History",
        ("", "action", "version", "share", "when", "who", "reason"),
        [
            (
                one.sequence,
                one.action,
                one.number,
                one.share or "",
                one.created,
                one.who,
                one.reason,
            )
            for one in history[-20:]
        ],
    )
    _show_loop(decisions, requests)


def _show_loop(decisions: Sequence[Any], requests: Sequence[Any]) -> None:
    """Print what the loop was asked for and what it decided, where there is any."""
    from raymm.registry.wishes import waiting

    asked = [one for one in requests if one.action == "ask"]
    open_ = waiting(requests)
    if asked:
        printing.table(
            "What raymm keep was asked for",
            ("", "who", "when", "state", "reason"),
            [
                (
                    one.sequence,
                    one.who,
                    one.created,
                    "waits" if one in open_ else "taken up",
                    one.reason,
                )
                for one in asked[-20:]
            ],
        )
    if decisions:
        printing.table(
            "What raymm keep decided",
            ("", "step", "version", "when", "reason"),
            [
                (one.sequence, one.action, one.number or "", one.created, one.reason)
                for one in decisions[-20:]
            ],
        )


def _show_standing(standing: dict[str, Any], sequence: int) -> None:
    replicas = standing.get("replicas", {})
    behind = [one for one in replicas.values() if one["sequence"] < sequence]
    printing.say(
        f"{counted(len(replicas), 'replica')} serve{'s' if len(replicas) == 1 else ''} it"
        + (f", {len(behind)} of them still without the last change" if behind else "")
    )
    for number, refusal in standing.get("refused", {}).items():
        printing.say(f"  version {number} was refused: {refusal['reason']}")


def _releases(name: str, storage: str | None) -> Any:
    return _registry(name, storage).releases(name)


def _registry(name: str, storage: str | None) -> Any:
    from raymm.registry.versions import Registry

    registry = Registry(options.storage_of(storage))
    registry.versions(name)
    return registry


def _standing(name: str, url: str, token: str) -> dict[str, Any] | None:
    """Return how the replicas stand; None where no service is known or it does not answer."""
    from raymm import endpoint

    found = endpoint.elsewhere(name, url, token) if url else endpoint.find(name)
    if found is None or not (url or endpoint.alive(found)):
        return None
    told: dict[str, Any] = endpoint.ask(found, f"/v1/models/{name}/release")
    return told


def _changed(change: Any, told: str, *, wait: bool, url: str, token: str, as_json: bool) -> None:
    """Say what was changed, once all replicas follow it where that is asked for."""
    if wait:
        switched(change.name, change.number, change.sequence, url=url, token=token)
    if as_json:
        role = "champion" if change.action in ("promote", "rollback") else change.action
        printing.as_json(
            {
                "name": change.name,
                role: change.number,
                "reason": change.reason,
                "sequence": change.sequence,
                "share": change.share,
                "switched": wait,
            }
        )
        return
    printing.say(told + (", and every replica has switched" if wait else ""))


def switched(
    name: str,
    number: int,
    sequence: int,
    *,
    url: str = "",
    token: str = "",
    seconds: float = _WAIT_SECONDS,
) -> None:
    """Return when every replica that lives has followed a change, with nobody left from before.

    Raises
    ------
    NotFound
        When no service of the model is known.
    ServingError
        When the version is refused, which is told, or the replicas do not follow in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        standing = _standing(name, url, token)
        if standing is None:
            raise NotFound(
                f"no service of {name} runs here, so nobody can switch. Start one: "
                f"raymm deploy {name}, or name one that runs elsewhere with --url and --token."
            )
        refusal = standing.get("refused", {}).get(str(number))
        if refusal is not None and refusal["sequence"] >= sequence:
            raise ServingError(
                f"{name} version {number} was refused, and what was served goes on: "
                f"{refusal['reason']}"
            )
        if standing.get("switched", -1) >= sequence:
            return
        if time.monotonic() > deadline:
            late = [
                f"{replica} ({one['failure'] or 'no failure told'})"
                for replica, one in standing.get("replicas", {}).items()
                if one["sequence"] < sequence
            ]
            raise ServingError(
                f"every replica must follow change {sequence} of {name} within {seconds:g} s, but "
                f"these have not: {', '.join(late) or 'none has told'}. It is recorded, and they "
                f"go on trying; see raymm release {name}."
            )
        time.sleep(0.05)

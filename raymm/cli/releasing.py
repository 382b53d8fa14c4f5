"""Commands that say which version is served, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from raymm.cli import options, printing
from raymm.cli.switching import require_service, standing_of, switched, undoing
from raymm.counts import counted


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


_FORCE = click.option(
    "--force",
    is_flag=True,
    help="Release it although it is not blessed; promoted, also where it is much slower.",
)


@click.command()
@click.argument("name", metavar="NAME[@VERSION]")
@click.argument("version", type=int, required=False)
@click.option("--reason", default="by hand", help="Recorded in the history.")
@_FORCE
@_changing
def promote(
    name: str, version: int | None, reason: str, force: bool, storage: str | None, **how: Any
) -> None:
    """Make VERSION of NAME the champion; a running service takes it over by itself."""
    name, version = _named(name, version)
    if version is None:
        raise click.UsageError(f"Give a version: raymm promote {name} VERSION")
    _change(
        _releases(name, storage),
        lambda releases: releases.promote(version, reason=reason, force=force),
        lambda made: f"{name} version {made.number} is the champion ({made.reason})",
        storage=storage,
        **how,
    )


@click.command()
@click.argument("name")
@click.option("--reason", default="rolled back by hand", help="Recorded in the history.")
@_changing
def rollback(name: str, reason: str, storage: str | None, **how: Any) -> None:
    """Make the champion before this one the champion of NAME again."""
    _change(
        _releases(name, storage),
        lambda releases: releases.rollback(reason=reason),
        lambda made: f"{name} version {made.number} is the champion ({made.reason})",
        storage=storage,
        **how,
    )


@click.command()
@click.argument("name", metavar="NAME[@VERSION]")
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
    name, version = _named(name, version)
    releases = _releases(name, storage)
    if _ends(end, version):
        _end(releases, "canary", reason, storage=storage, **how)
        return
    assert version is not None
    _change(
        releases,
        lambda releases: releases.canary(version, share, reason=reason, force=force),
        lambda made: (
            f"{name} version {version} is the canary, for {made.share:.1%} of the requests"
        ),
        storage=storage,
        **how,
    )


@click.command()
@click.argument("name", metavar="NAME[@VERSION]")
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
    name, version = _named(name, version)
    releases = _releases(name, storage)
    if _ends(end, version):
        _end(releases, "shadow", reason, storage=storage, **how)
        return
    assert version is not None
    _change(
        releases,
        lambda releases: releases.shadow(version, reason=reason, force=force),
        lambda _: f"{name} version {version} is in shadow, for raymm monitor {name} to show",
        storage=storage,
        **how,
    )


def _end(releases: Any, role: str, reason: str, **how: Any) -> None:
    _change(
        releases,
        lambda releases: releases.end(role, reason=reason),
        lambda made: f"{made.name} version {made.number} is no {role} any more ({reason})",
        **how,
    )


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
    standing = standing_of(name, url, token)
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


def _named(name: str, version: int | None) -> tuple[str, int | None]:
    """Return a model's name and the version that follows it, after a blank or @."""
    from raymm.registry.versions import version_of

    return version_of(name, version)


def _releases(name: str, storage: str | None) -> Any:
    return _registry(name, storage).releases(name)


def _registry(name: str, storage: str | None) -> Any:
    from raymm.registry.versions import Registry

    registry = Registry(options.storage_of(storage))
    registry.versions(name)
    return registry


def _change(
    releases: Any,
    make: Callable[[Any], Any],
    tell: Callable[[Any], str],
    *,
    storage: str | None,
    wait: bool,
    url: str,
    token: str,
    as_json: bool,
) -> None:
    """Change a release and say so, once all replicas follow it where that is asked for.

    Nothing is changed where that cannot be told since no service lets one in.
    """
    if wait:
        require_service(releases.name, url, token)
    before = releases.current().sequence
    change = make(releases)
    if wait:
        undo = (
            undoing(_registry(change.name, storage), change, storage)
            if change.sequence > before
            else ""
        )
        switched(change.name, change.number, change.sequence, url=url, token=token, undo=undo)
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
    if wait:
        printing.say(f"{tell(change)}, and every replica has switched")
        return
    printing.say(
        f"{tell(change)}. That is recorded; a running service follows by itself, as "
        f"raymm release {change.name} shows (--wait waits for that)"
    )

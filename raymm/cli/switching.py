"""Waiting until every replica has switched, and the way back where that is not known."""

from __future__ import annotations

import shlex
import time
from typing import Any

from raymm.errors import NotFound, ServingError

WAIT_SECONDS = 120.0


def standing_of(name: str, url: str, token: str) -> dict[str, Any] | None:
    """Return how the replicas stand; None where no service is known or its process has ended."""
    from raymm import endpoint

    found = endpoint.elsewhere(name, url, token) if url else endpoint.find(name)
    if found is None or not (url or endpoint.alive(found)):
        return None
    told = endpoint.ask(found, f"/v1/models/{name}/release")
    if not isinstance(told, dict):
        raise ServingError(f"{found.url} does not tell how replicas stand: it is no raymm service.")
    return told


def require_service(name: str, url: str, token: str) -> None:
    """Raise NotFound or ServingError where no service would tell who has switched."""
    try:
        known = standing_of(name, url, token)
    except ServingError as error:
        raise ServingError(f"nothing was changed, as --wait asks the service: {error}") from error
    if known is None:
        raise NotFound(
            f"nothing was changed: no service of {name} runs here, so nobody can switch. Leave "
            f"--wait out, start one: raymm deploy {name}, or name one that runs elsewhere with "
            "--url and --token."
        )


def switched(
    name: str,
    number: int,
    sequence: int,
    *,
    url: str = "",
    token: str = "",
    seconds: float = WAIT_SECONDS,
    undo: str = "",
) -> None:
    """Return when every replica that lives has followed a change, with nobody left from before.

    Parameters
    ----------
    undo : str
        The command that takes the change back, told where it is not known to be followed; not of
        a refused version, which the service takes out by itself.

    Raises
    ------
    NotFound
        When no service of the model is known any more.
    ServingError
        When the version is refused, which is told, or the replicas do not follow in time.
    """
    deadline = time.monotonic() + seconds
    kept = f"change {sequence} of {name} is recorded"
    way = f" To undo it: {undo}" if undo else ""
    while True:
        try:
            known = standing_of(name, url, token)
        except ServingError as error:
            raise ServingError(f"{kept}, but who follows it is not known: {error}{way}") from error
        if known is None:
            raise NotFound(
                f"{kept}, but no service of {name} runs here any more, so nobody can switch. One "
                f"that is started follows it: raymm deploy {name}.{way}"
            )
        refusal = known.get("refused", {}).get(str(number))
        if refusal is not None and refusal["sequence"] >= sequence:
            raise ServingError(
                f"{name} version {number} was refused, and what was served goes on: "
                f"{refusal['reason']}"
            )
        if known.get("switched", -1) >= sequence:
            return
        if time.monotonic() > deadline:
            late = [
                f"{replica} ({one['failure'] or 'no failure told'})"
                for replica, one in known.get("replicas", {}).items()
                if one["sequence"] < sequence
            ]
            raise ServingError(
                f"every replica must follow change {sequence} of {name} within {seconds:g} s, but "
                f"these have not: {', '.join(late) or 'none has told'}. It is recorded, and they "
                f"go on trying; see raymm release {name}.{way}"
            )
        time.sleep(0.05)


def undoing(registry: Any, change: Any, storage: str | None) -> str:
    """Return the commands that take a change back, joined as a shell takes them.

    Parameters
    ----------
    registry : Registry
    change : Change
        Recorded there.
    storage : str or None
        As it was given to the command that made the change.

    Returns
    -------
    str
        Empty where there is no way back: of the first champion.
    """
    from raymm.registry.releases import released

    name, history = change.name, registry.releases(change.name).changes()
    before = released(name, [one for one in history if one.sequence < change.sequence])
    after = released(name, [one for one in history if one.sequence <= change.sequence])
    blessed = {one.number: one.blessed for one in registry.versions(name)}
    more = "" if storage is None else f" --storage {shlex.quote(storage)}"

    def again(role: str, number: int | None) -> str:
        insisted = role == "promote" and before.insisted
        force = " --force" if number is not None and (insisted or not blessed.get(number)) else ""
        share = f" --share {before.share:g}" if role == "canary" else ""
        return f"raymm {role} {name} {number}{share}{force}{more}"

    told = []
    if change.action == "rollback":
        told.append(again("promote", before.champion))
    elif change.action == "promote" and before.champion not in (None, change.number):
        told.append(f"raymm rollback {name}{more}")
    for role, share in (("canary", (before.share, after.share)), ("shadow", (0.0, 0.0))):
        old, new = getattr(before, role), getattr(after, role)
        if old is None and new is not None and new not in (before.canary, before.shadow):
            told.append(f"raymm {role} {name} --end{more}")
        elif old is not None and (old, share[0]) != (new, share[1]):
            told.append(again(role, old))
    return " && ".join(told)

"""What keeps a second service from starting on this machine, told with what to do about it.

A service that starts Ray here starts Serve's HAProxy too, which opens a port of its own for its
figures on every interface, so there can be one on a machine; more models are put behind it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from raymm.endpoint import Service, running
from raymm.errors import Conflict, ServingError
from raymm.sections import ServingConfig
from raymm.serving.reach import require_port

_TAKEN = re.compile(r"address already in use", re.IGNORECASE)
_PLACE = re.compile(r"\[(\S+?:\d+)\]")


def require_room(names: Sequence[str], serving: ServingConfig) -> None:
    """Check that a service which starts Ray on this machine will not collide with one that runs.

    Parameters
    ----------
    names : sequence of str
        The models that it is to serve.
    serving : ServingConfig

    Raises
    ------
    Conflict
        When it would; told are the models that are served, and the commands that help.
    """
    there = running()
    if not there:
        return
    figures = int(os.environ.get("RAY_SERVE_HAPROXY_METRICS_PORT", "9101"))
    haproxy = not serving.certificate and os.environ.get("RAY_SERVE_ENABLE_HA_PROXY", "1") != "0"
    if haproxy and not _free("", figures):
        raise _conflict(there, names, f"port {figures}, which each needs, is taken")
    if not _free(serving.host, serving.port):
        raise _conflict(there, names, f"port {serving.port} is taken")


def explained(error: ServingError, names: Sequence[str]) -> ServingError | Conflict:
    """Return the error of a service's start; where a port was taken, one that says what to do."""
    told = str(error)
    if not _TAKEN.search(told):
        return error
    place = _PLACE.search(told)
    held = f"port {place[1].rpartition(':')[2]}" if place else "a port that it needs"
    there = running()
    if there:
        return _conflict(there, names, f"{held} is taken")
    return ServingError(
        f"{' and '.join(names)} cannot be served: {held} is taken by another program, perhaps by "
        "a service that another user or another RAYMM_HOME started. End that, or where it is not "
        "serving.port, set RAY_SERVE_HAPROXY_METRICS_PORT and RAY_SERVE_HAPROXY_STATS_PORT to "
        "free ports."
    )


def _free(host: str, port: int) -> bool:
    try:
        require_port(host, port)
    except ServingError:
        return False
    return True


def _conflict(there: Sequence[Service], names: Sequence[str], why: str) -> Conflict:
    served = " and ".join(name for service in there for name in service.served())
    first = there[0]
    return Conflict(
        f"a service of {served} runs here already at {first.url}, and no other can start beside "
        f"it: {why}. Put {' and '.join(names)} behind its address with: "
        f"raymm deploy {' '.join(names)} --join {first.name}   or end it first with: "
        f"raymm stop {first.name}"
    )

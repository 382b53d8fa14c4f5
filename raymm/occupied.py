"""What keeps a second service from starting on this machine, told with what to do about it.

A service that starts Ray here starts Serve's HAProxy too, which opens a port of its own for its
figures on every interface, so there can be one on a machine; more models are put behind it.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from raymm import leftover
from raymm.endpoint import Service, ending_with, running
from raymm.errors import Conflict, ServingError
from raymm.sections import ServingConfig
from raymm.serving.reach import require_port

_TAKEN = re.compile(r"address already in use", re.IGNORECASE)
_PLACE = re.compile(r"\[(\S+?:\d+)\]|but (\S*:\d+) cannot be had")
_CLOSES = 5.0
"""Seconds within which a port is closed when its service has ended."""

_log = logging.getLogger(__name__)


def require_room(names: Sequence[str], serving: ServingConfig) -> None:
    """Check that a service which starts Ray on this machine will not collide with one that runs.

    An HAProxy that a service which was killed left behind is ended first.

    Parameters
    ----------
    names : sequence of str
        The models that it is to serve.
    serving : ServingConfig

    Raises
    ------
    Conflict
        When it would; told are the models that are served, and the commands that help.
    ServingError
        When another program holds ``serving.port``.
    """
    for pid in leftover.end():
        _log.warning("ended process %d, the HAProxy that a killed service left behind", pid)
    there = running()
    figures = int(_figures())
    haproxy = not serving.certificate and os.environ.get("RAY_SERVE_ENABLE_HA_PROXY", "1") != "0"
    if there and haproxy and not _free("", figures):
        raise _conflict(there, names, f"port {figures}, which each needs, is taken")
    try:
        require_port(serving.host, serving.port)
    except ServingError as error:
        raise explained(error, names) from error


def explained(error: ServingError, names: Sequence[str]) -> ServingError | Conflict:
    """Return the error of a service's start; where a port was taken, one that says what to do."""
    told = str(error)
    if not _TAKEN.search(told):
        return error
    place = _PLACE.search(told)
    host, _, port = (place[1] or place[2]).rpartition(":") if place else ("", "", "")
    held = f"port {port}" if port else "a port that it needs"
    there = running()
    if there:
        return _conflict(there, names, f"{held} is taken")
    who, remedy = _holder(host, int(port)) if port else ("another program", "End that")
    return ServingError(
        f"{' and '.join(names)} cannot be served: {held} is taken by {who}, perhaps by a service "
        f"that another user or another RAYMM_HOME started. {remedy}, or set another serving.port; "
        "where it is not that, set RAY_SERVE_HAPROXY_METRICS_PORT and "
        "RAY_SERVE_HAPROXY_STATS_PORT to free ports."
    )


def shown() -> str:
    """Return what HAProxy shows to everybody, as far as this process's environment tells.

    Serve has no setting of the addresses that it binds these to.
    """
    statistics = os.environ.get("RAY_SERVE_HAPROXY_STATS_PORT", "8404")
    return (
        f"HAProxy shows its own figures on every interface, without a token: ports {_figures()} "
        f"and {statistics}"
    )


def _figures() -> str:
    return os.environ.get("RAY_SERVE_HAPROXY_METRICS_PORT", "9101")


def require_ended(service: Service) -> None:
    """Check that nothing answers any more at the address of a service that has ended.

    An HAProxy that it left behind is ended first; another service that is recorded at the same
    address may be there.

    Raises
    ------
    ServingError
        When something does; told is its process where that can be known.
    """
    where = urlsplit(service.url)
    host, port = where.hostname or "", where.port or 0
    if any(urlsplit(one.url).netloc == where.netloc for one in running()):
        return
    deadline = time.monotonic() + _CLOSES
    while _answers(host, port):
        if time.monotonic() > deadline:
            who, remedy = _holder(host, port)
            raise ServingError(
                f"the service of {' and '.join(service.served())} has ended, but port {port} is "
                f"still held by {who}. {remedy} if it is left of that service."
            )
        leftover.end()
        time.sleep(0.1)


def _holder(host: str, port: int) -> tuple[str, str]:
    """Return who holds a port, and what ends it."""
    found = leftover.holder(host, port)
    if found is None:
        return "another program", "End that"
    return f"process {found[0]} ({found[1]})", f"End that (kill {found[0]})"


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


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
        f"raymm stop {' '.join(ending_with(first))}"
    )

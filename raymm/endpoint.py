"""Where a service is: its record on this machine, whether it lives, and requests to it.

A service that runs on this machine leaves a record in ``HOME/services/NAME.json`` (readable by
its owner alone: it holds the token), where HOME is RAYMM_HOME or ``~/.raymm``.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raymm.artifacts import as_record, from_record
from raymm.config import NAME_PATTERN, home_folder
from raymm.errors import NotFound, ServingError

_MOST_BYTES = 1 << 20
_MOST_LETTERS = 1000
"""Of an error that is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Where a service is and who runs it.

    Attributes
    ----------
    url : str
        Without a slash at the end.
    token : str
        Empty where none is asked for.
    pid : int
        The process that holds it; 0 on a cluster, where Ray does.
    started : float
        The process's start, in the kernel's ticks, so that another process that was given the
        same number later is not taken for it.
    name : str
        Of the endpoint: its first model.
    certificate : str
        The file of the service's certificate; empty where it speaks plain HTTP.
    models : tuple of str
        Every model behind the endpoint; empty in records of version 1, for the one of ``name``.
    """

    name: str
    url: str
    token: str
    storage: str
    pid: int = 0
    started: float = 0.0
    address: str = ""
    haproxy: bool = False
    certificate: str = ""
    models: tuple[str, ...] = ()
    version: int = 1

    def served(self) -> tuple[str, ...]:
        """Return the names of the models that it serves."""
        return self.models or (self.name,)


def path_of(name: str) -> Path:
    """Return where the record of a service is kept; raises NotFound where no model has the name."""
    if not re.match(NAME_PATTERN, name):
        raise NotFound(f'"{name}" is not a model\'s name. See them with: raymm models')
    return home_folder() / "services" / f"{name}.json"


def record(service: Service) -> None:
    """Write a service's record for each of its models, at once and readable by its owner alone."""
    for name in service.served():
        _write(path_of(name), service)


def _write(path: Path, service: Service) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial_path = path.with_suffix(".partial")
    with os.fdopen(os.open(partial_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        json.dump(as_record(service), out)
        out.flush()
        os.fsync(out.fileno())
    partial_path.replace(path)


def find(name: str) -> Service | None:
    """Return the record of a service started from this machine, or None."""
    try:
        return from_record(Service, json.loads(path_of(name).read_text()))
    except (FileNotFoundError, ValueError):
        return None


def running() -> tuple[Service, ...]:
    """Return the services that hold a cluster of this machine, and after each those that joined it.

    In the order of their names; told by the records of RAYMM_HOME alone.
    """
    names = sorted(path.stem for path in (home_folder() / "services").glob("*.json"))
    known = {one.name: one for one in map(find, names) if one is not None}
    found: list[Service] = []
    for service in known.values():
        if service.pid and alive(service):
            joined = [one for one in known.values() if not one.pid]
            found += [service, *(one for one in joined if one.address == service.address != "")]
    return tuple(found)


def joining(service: Service) -> tuple[Service, ...]:
    """Return the services that joined the cluster which a service of this machine holds."""
    if not service.pid:
        return ()
    return tuple(one for one in running() if not one.pid and one.address == service.address)


def ending_with(service: Service) -> tuple[str, ...]:
    """Return the models that end when a service does, its own first."""
    return tuple(name for one in (service, *joining(service)) for name in one.served())


def elsewhere(name: str, url: str, token: str) -> Service:
    """Return a service at an address that was given; raises ServingError where it is no URL."""
    path_of(name)
    if not re.match(r"https?://[^/\s]+", url):
        raise ServingError(f'--url must be like http://HOST:8000, but got "{url}".')
    return Service(name=name, url=url.rstrip("/"), token=token, storage="")


def alive(service: Service) -> bool:
    """Return whether the process that holds a service runs; for a cluster's, whether it answers."""
    if service.pid == 0:
        try:
            ask(service, "/v2/health/live", timeout=2)
        except ServingError:
            return False
        return True
    return started_at(service.pid) == service.started != 0.0


def gone(service: Service) -> bool:
    """Return whether a service of this machine has ended; one elsewhere may be out of reach."""
    return bool(service.pid or service.address.startswith("127.")) and not alive(service)


def started_at(pid: int) -> float:
    """Return when a process started, in ticks since boot (or seconds, without /proc); 0 if none."""
    if not Path("/proc/self/stat").exists():
        return _listed_start(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    state, *rest = stat.rpartition(")")[2].split()
    return 0.0 if state == "Z" else float(rest[18])


def _listed_start(pid: int) -> float:
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    try:
        return time.mktime(time.strptime(listed.stdout.strip()))
    except ValueError:
        return 0.0


def ask(
    service: Service, path: str, body: Mapping[str, Any] | None = None, *, timeout: float = 10
) -> Any:
    """Send a request to a service and return the JSON it answers.

    Raises
    ------
    ServingError
        When it does not answer, its process has ended, what answers is no service of raymm's, or
        it answers with an error, whose message is told.
    """
    context = None
    if service.certificate:
        context = ssl.create_default_context(cafile=service.certificate)
    request = urllib.request.Request(  # noqa: S310 - a URL of our own record
        service.url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    if service.token:
        request.add_header("authorization", f"Bearer {service.token}")
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:  # noqa: S310
            status, told, kind = answer.status, answer.read(), answer.headers.get("content-type")
    except urllib.error.HTTPError as error:
        status, told, kind = error.code, _read(error), error.headers.get("content-type")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ServingError(_ended(service) or _silent(service.url + path, error)) from error
    document = _document(told)
    if status < 300 and document is not None:
        return document
    raise ServingError(_ended(service) or _refused(service.url + path, status, document, kind))


def _read(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException):
        return b""


def _ended(service: Service) -> str:
    """Return that the process of a service has ended; empty where it lives or is not known."""
    if service.pid == 0 or alive(service):
        return ""
    return (
        f"the service of {service.name} at {service.url} has ended: its process {service.pid} is "
        f"gone. Start it anew: raymm deploy {' '.join(service.served())}"
    )


def _silent(url: str, error: Exception) -> str:
    """Return why nothing answers at an address, in words."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ConnectionRefusedError):
        why = "nothing listens there. See that its service runs, and the address"
    elif isinstance(reason, TimeoutError):
        why = "no answer came in time"
    elif isinstance(reason, socket.gaierror):
        why = "its host is not known"
    else:
        why = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
    return f"{url} does not answer: {_line(why)}."


def _refused(url: str, status: int, document: Any, kind: str | None) -> str:
    """Return what a service refused, or that what answers is none."""
    message = _message(document)
    if message and status == 401:
        return (
            f"{url} answered 401: the request must carry a valid token. Give it with --token, or "
            "in the environment variable RAYMM_TOKEN."
        )
    if message:
        return f"{url} answered {status}: {message}"
    told = f"it answered {status} with {_line(kind or 'content of no type')[:60]}"
    if status >= 500:  # what stands in front of a service that is down has words of its own
        return f"{url} does not answer as a raymm service: {told}. See whether that runs."
    return f"what answers at {url} is no raymm service: {told}. See the address."


def _document(told: bytes) -> Any:
    """Return JSON; None where it is none."""
    try:
        return json.loads(told)
    except (ValueError, RecursionError):
        return None


def _message(document: Any) -> str:
    """Return the message of an error as raymm's services tell it; empty where it is none."""
    found = document.get("error") if isinstance(document, Mapping) else None
    if isinstance(found, Mapping):
        found = found.get("message")
    return _line(found)[:_MOST_LETTERS] if isinstance(found, str) else ""


def _line(text: str) -> str:
    """Return text in one line, without what a terminal would obey."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def monitored(service: Service, name: str) -> Mapping[str, Any]:
    """Return what a service's monitor reports of a model; raises ServingError as `ask` does.

    Empty before its first report.
    """
    told = ask(service, f"/v1/models/{name}/monitor")
    report = told.get("report") if isinstance(told, Mapping) else None
    if not isinstance(report, Mapping):
        raise ServingError(f"{service.url} sent no report of {name}: it is no service of raymm's.")
    return report

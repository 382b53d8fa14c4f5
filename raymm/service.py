"""A model in service: ordered, started, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from raymm import prediction
from raymm.artifacts import Version
from raymm.config import default_storage, home_folder
from raymm.endpoint import Service, alive, find, path_of, record, started_at
from raymm.errors import Conflict, NotFound, ServingError
from raymm.registry.versions import Registry
from raymm.sections import MonitoringConfig, RayConfig, ServingConfig

_START_SECONDS = 180.0
_STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be served, from where and how."""

    name: str
    storage: str
    serving: ServingConfig
    monitoring: MonitoringConfig
    ray: RayConfig


def order(
    name: str, storage: str, *, address: str = "auto", changes: Mapping[str, Any] | None = None
) -> Order:
    """Return how a model is to be served: as its run was configured, with changes.

    Raises
    ------
    NotFound
        When the model is not known or has no champion.
    ConfigError
        When a change breaks a rule of the configuration.
    """
    from raymm.config import parse

    champion = prediction.champion(Registry(storage), name)
    settings = champion.summary.get("settings", {})
    config = parse(
        {
            "name": name,
            "data": {"source": "-", "target": "-"},
            **settings,
            "storage": storage,
            "ray": {"address": address},
        },
        changes,
    )
    return Order(
        name=name,
        storage=storage,
        serving=config.serving,
        monitoring=config.monitoring,
        ray=config.ray,
    )


# -------------------------------------------------------------------- what runs on the replicas


def newer_champion(storage: str, name: str, known: int | None) -> tuple[int, bytes] | None:
    """Return the champion's number and bundle where it is not the version known, else None."""
    registry = Registry(storage)
    champion = registry.champion(name)
    if champion is None or champion.number == known:
        return None
    return champion.number, registry.bundle(champion)


def watcher(name: str) -> Any:
    """Return the way from this replica to the model's monitor."""
    from raymm.monitoring.actor import ActorWatcher

    return ActorWatcher(name)


def application(ordered: Order, token: str) -> Any:
    """Return the Serve application of an order."""
    from raymm.serving import deployment

    return deployment.application(
        ordered.name,
        partial(newer_champion, ordered.storage, ordered.name),
        watcher,
        config=ordered.serving,
        tokens={"default": token} if token else {},
    )


def serve_application(args: Mapping[str, Any]) -> Any:
    """Build the application for ``serve deploy`` and RayService.

    ``args``: ``name``; ``storage`` (default RAYMM_HOME); any ``serving.*`` or ``monitoring.*``
    key. The token comes from the environment variable RAYMM_TOKEN; without one, and with
    ``serving.auth`` not "none", building fails.
    """
    given = {key: value for key, value in args.items() if key not in ("name", "storage")}
    ordered = order(str(args["name"]), str(args.get("storage") or default_storage()), changes=given)
    token = os.environ.get("RAYMM_TOKEN", "")
    if ordered.serving.auth == "token" and not token:
        raise ServingError(
            "the service needs a token. Set RAYMM_TOKEN in its environment, "
            "or serving.auth: none where nothing else can reach it."
        )
    _monitor(ordered)
    return application(ordered, token)


def _monitor(ordered: Order) -> None:
    from raymm.monitoring import actor

    state = home_folder() / "monitors" / ordered.name
    actor.start(ordered.name, config=ordered.monitoring, state_dir=str(state))


# --------------------------------------------------------------------------------- start and stop


@contextlib.contextmanager
def serving(ordered: Order) -> Iterator[Service]:
    """Serve a model while the ``with`` lasts; on a joined cluster it goes on afterwards.

    Raises
    ------
    Conflict
        When a service of that name runs on this machine already.
    ServingError
        When it cannot be started; what was started is removed.
    """
    from raymm import cluster
    from raymm.monitoring import actor
    from raymm.serving import deployment

    _require_free(ordered.name)
    _require_safe(ordered.serving)
    token = _token() if ordered.serving.auth == "token" else ""
    with cluster.connect(ordered.ray, serving=True) as connection:
        _monitor(ordered)
        url = deployment.deploy(
            application(ordered, token), name=ordered.name, config=ordered.serving
        )
        service = Service(
            name=ordered.name,
            url=url,
            token=token,
            storage=ordered.storage,
            pid=os.getpid() if connection.started else 0,
            started=started_at(os.getpid()) if connection.started else 0.0,
            address=connection.address,
            haproxy=deployment.uses_haproxy(),
        )
        record(service)
        try:
            yield service
        finally:
            if connection.started:
                deployment.undeploy(ordered.name)
                actor.stop(ordered.name)
                path_of(ordered.name).unlink(missing_ok=True)


def _require_free(name: str) -> None:
    running = find(name)
    if running is not None and alive(running):
        raise Conflict(
            f"{name} is served already at {running.url}. Promote a version and it takes it over, "
            f"or end it with: raymm stop {name}"
        )


def _require_safe(config: ServingConfig) -> None:
    loopback = config.host in {"127.0.0.1", "localhost", "::1"}
    if not loopback and config.auth != "token":
        raise ServingError(
            f"serving.host must be a loopback address where serving.auth is none, but got "
            f'"{config.host}". Set serving.auth to token.'
        )


def _token() -> str:
    return os.environ.get("RAYMM_TOKEN") or secrets.token_urlsafe(32)


def detach(ordered: Order, changes: Mapping[str, Any], *, notify: Callable[[str], None]) -> Service:
    """Start a process that serves the model until `stop`, and wait until it answers.

    Its output goes to ``HOME/services/NAME.log``.

    Raises
    ------
    ServingError
        When it ends, or does not answer in time; its last lines are told.
    """
    _require_free(ordered.name)
    log = path_of(ordered.name).with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-m", "raymm", "deploy", ordered.name, "--storage", ordered.storage]
    command += ["--address", ordered.ray.address]
    for key, value in changes.items():
        command += ["--set", f"{key}={json.dumps(value)}"]
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        child = subprocess.Popen(  # noqa: S603 - our own command line, no shell
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    notify(f"starting, log in {log}")
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        service = find(ordered.name)
        if service is not None and (service.pid in (child.pid, 0)) and alive(service):
            return service
        if child.poll() not in (None, 0):
            break
        time.sleep(0.2)
    if child.poll() is None:
        child.terminate()
    last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    raise ServingError(f"{ordered.name} could not be started:\n{last}\nThe whole log: {log}")


def stop(name: str) -> Service:
    """End a service that was left running on this machine, or on the cluster it was put on.

    Raises
    ------
    NotFound
        When there is no record of such a service.
    ServingError
        When it does not end in time.
    """
    service = find(name)
    if service is None:
        raise NotFound(
            f"no service of {name} is recorded here. Start one with: raymm deploy {name}"
        )
    if service.pid == 0:
        _undeploy(service)
    elif alive(service):
        os.kill(service.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while alive(service):
            if time.monotonic() > deadline:
                raise ServingError(f"process {service.pid} that serves {name} does not end.")
            time.sleep(0.1)
    path_of(name).unlink(missing_ok=True)
    return service


def _undeploy(service: Service) -> None:
    from raymm import cluster
    from raymm.monitoring import actor
    from raymm.serving import deployment

    with cluster.connect(RayConfig(address=service.address or "auto"), serving=True):
        deployment.undeploy(service.name)
        actor.stop(service.name)


def wait_for_signal() -> None:
    """Return when the process is asked to end (SIGINT, SIGTERM or SIGHUP)."""
    asked = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: asked.set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        while not asked.wait(0.5):
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def champion_of(ordered: Order) -> Version:
    """Return the version that an order would serve now."""
    return prediction.champion(Registry(ordered.storage), ordered.name)

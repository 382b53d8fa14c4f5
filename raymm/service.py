"""Models in service: ordered and started; `raymm.ending` stops them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raymm import leftover, occupied, prediction, preflight, served
from raymm.artifacts import Version
from raymm.config import default_storage, home_folder
from raymm.ending import take_down
from raymm.endpoint import Service, alive, find, path_of, record, started_at
from raymm.errors import ConfigError, NotFound, ServingError
from raymm.registry.versions import Registry, version_of
from raymm.sections import MonitoringConfig, RayConfig, ServingConfig
from raymm.serving.exposure import require_bound, require_safe
from raymm.serving.tokens import named_tokens, token_alone
from raymm.shelf import RegistryShelf
from raymm.sole import held
from raymm.wishing import lock_of

_START_SECONDS = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be served, from where and how.

    Attributes
    ----------
    name : str
        The first model's, and the endpoint's.
    beside : mapping of name to MonitoringConfig
        Other models behind the same endpoint.
    """

    name: str
    storage: str
    serving: ServingConfig
    monitoring: MonitoringConfig
    ray: RayConfig
    beside: Mapping[str, MonitoringConfig] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """All models' names, the endpoint's first."""
        return (self.name, *self.beside)


def order(
    names: str | Sequence[str],
    storage: str,
    *,
    address: str = "auto",
    changes: Mapping[str, Any] | None = None,
) -> Order:
    """Return how models are to be served: as the first one's run was configured, with changes.

    Each is monitored as its own run was configured, with the same changes.

    Raises
    ------
    NotFound
        When a model is not known or has no champion.
    ConfigError
        When a change breaks a rule of the configuration, or a name is given twice or with a
        version.
    """
    wanted = (names,) if isinstance(names, str) else tuple(names)
    for one in wanted:
        _require_model(one)
    if len(set(wanted)) < len(wanted):
        raise ConfigError(f"each model must be named once, but got {', '.join(wanted)}.")
    first, *others = (_configured(name, storage, address, changes) for name in wanted)
    return Order(
        name=wanted[0],
        storage=storage,
        serving=first.serving,
        monitoring=first.monitoring,
        ray=first.ray,
        beside={name: one.monitoring for name, one in zip(wanted[1:], others, strict=True)},
    )


def _require_model(named: str) -> None:
    name, number = version_of(named)
    if number is not None:
        raise ConfigError(
            f"a service follows what is promoted, so it takes a model's name: {name}, not {named}. "
            f"To serve version {number}: raymm promote {name} {number}, and to try it beside the "
            f"champion: raymm canary {name} {number}"
        )


def untold(ordered: Order) -> tuple[str, ...]:
    """Return the models whose configuration asks for events that nothing on this machine tells.

    They are told by ``raymm keep``, of which one that runs elsewhere is not seen here.
    """
    configs = {ordered.name: ordered.monitoring, **ordered.beside}
    return tuple(
        name for name, one in configs.items() if one.events.places and not held(lock_of(name))
    )


def _configured(name: str, storage: str, address: str, changes: Mapping[str, Any] | None) -> Any:
    from raymm.config import parse

    champion = prediction.champion(Registry(storage), name)
    return parse(
        {
            "name": name,
            "data": {"source": "-", "target": "-"},
            **champion.summary.get("settings", {}),
            "storage": storage,
            "ray": {"address": address},
        },
        changes,
    )


# -------------------------------------------------------------------- what runs on the replicas


def watcher(name: str) -> Any:
    """Return the way from this replica to the model's monitor."""
    from raymm.monitoring.actor import ActorWatcher

    return ActorWatcher(name)


def application(ordered: Order, tokens: Mapping[str, str]) -> Any:
    """Return the Serve application of an order; labels judge its canaries' answers.

    ``tokens``, by name, are let in beside those that a replica finds itself.
    """
    from raymm.monitoring.verdict import Trial
    from raymm.opinion import LabelOpinion
    from raymm.serving import deployment

    watched = {ordered.name: ordered.monitoring, **ordered.beside}
    policy = ordered.serving.release.rollback == "auto"
    return deployment.application(
        ordered.names,
        RegistryShelf(storage=ordered.storage, policy=policy),
        watcher,
        config=ordered.serving,
        tokens=tokens,
        opinion=LabelOpinion(trials={name: Trial.of(one) for name, one in watched.items()}),
    )


def serve_application(args: Mapping[str, Any]) -> Any:
    """Build the application for ``serve deploy`` and RayService.

    ``args``: ``name``, or ``names`` of several models; ``storage`` (default RAYMM_HOME); any
    ``serving.*`` or ``monitoring.*`` key. Tokens come from the environment variables RAYMM_TOKEN
    and RAYMM_TOKENS and from ``serving.tokens``; without any, and with ``serving.auth`` not "none",
    building fails, as it does with a short one, and where more than this machine could reach it
    unsafely: by ``serving.host``, or by the ``http_options`` and ``grpc_options`` of the Serve
    that runs.
    """
    from raymm.serving import deployment

    given = {key: value for key, value in args.items() if key not in ("name", "names", "storage")}
    names = args.get("names") or (str(args["name"]),)
    ordered = order(
        [str(name) for name in names], str(args.get("storage") or default_storage()), changes=given
    )
    token = token_alone()
    guarded = ordered.serving.auth == "token"
    # a replica's own environment may be another one, in which none of them are
    tokens = ({"default": token} if token else {}) | (named_tokens() if guarded else {})
    if guarded and not (tokens or ordered.serving.tokens):
        raise ServingError(
            "the service needs a token. Set RAYMM_TOKEN in its environment, name a file with "
            "serving.tokens, or set serving.auth: none where nothing else can reach it."
        )
    require_safe(ordered.serving, guarded=guarded, encrypted=bool(ordered.serving.certificate))
    require_bound(ordered.serving, deployment.listens())  # its replicas look again
    _monitor(ordered)
    served.sign(ordered.names, ordered.storage)  # no record of it is kept in a home
    return application(ordered, tokens)


def _monitor(ordered: Order) -> None:
    from raymm.monitoring import actor
    from raymm.registry.shared import SharedFile

    for name, config in {ordered.name: ordered.monitoring, **ordered.beside}.items():
        state = home_folder() / "monitors" / name
        away = SharedFile(storage=ordered.storage, path=f"monitors/{name}/state.json")
        actor.start(name, config=config, state_dir=str(state), away=away)


# ------------------------------------------------------------------------------------------ start


@contextlib.contextmanager
def serving(
    ordered: Order, *, notify: Callable[[str], object] = lambda _: None
) -> Iterator[Service]:
    """Serve models while the ``with`` lasts; on a joined cluster they are served afterwards too.

    ``notify`` is told when it starts, after everything that can be looked at before.

    Raises
    ------
    Conflict, ConfigError
        As `raymm.preflight.token_for`; nothing was started.
    ServingError
        When it cannot be started; what was started is removed.
    """
    from raymm import cluster
    from raymm.serving import deployment, scaling

    token = preflight.token_for(ordered.names, ordered.serving, ordered.ray)
    notify(f"starting the service of {' and '.join(ordered.names)} (about half a minute)")
    if ordered.serving.certificate:
        # HAProxy as Serve sets it up speaks no TLS; Serve's own proxy does.
        os.environ.setdefault("RAY_SERVE_ENABLE_HA_PROXY", "0")
    most = scaling.message_bytes(ordered.serving)
    os.environ.setdefault("RAY_SERVE_GRPC_MAX_MESSAGE_SIZE", str(most))
    with leftover.owned(), cluster.connect(ordered.ray, serving=True) as connection:
        _monitor(ordered)
        built = application(ordered, {"default": token} if token else {})
        try:
            url = deployment.deploy(built, name=ordered.name, config=ordered.serving)
        except ServingError as error:
            raise occupied.explained(error, ordered.names) from error
        service = Service(
            name=ordered.name,
            url=url,
            token=token,
            storage=ordered.storage,
            pid=os.getpid() if connection.started else 0,
            started=started_at(os.getpid()) if connection.started else 0.0,
            address=connection.address,
            haproxy=deployment.uses_haproxy(),
            certificate=str(ordered.serving.certificate or ""),
            models=ordered.names,
        )
        record(service)
        try:
            yield service
        finally:
            if connection.started:
                take_down(service)


def joined(name: str, address: str) -> tuple[str, dict[str, Any]]:
    """Return the Ray address and the changes with which to join the endpoint of a model.

    Raises
    ------
    NotFound
        When no service of that model runs on this machine.
    ConfigError
        When another cluster is named as well.
    """
    running = find(name)
    if running is None or not alive(running):
        raise NotFound(f"no service of {name} runs here. Start it first with: raymm deploy {name}")
    if address not in ("auto", running.address):
        raise ConfigError(
            f"the endpoint of {name} is on the cluster {running.address}, but --address names "
            f"{address}. Leave out --address or --join."
        )
    host, _, port = running.url.split("://", 1)[1].split("/", 1)[0].rpartition(":")
    return running.address, {"serving.port": int(port), "serving.host": host}


def detach(ordered: Order, changes: Mapping[str, Any], *, notify: Callable[[str], None]) -> Service:
    """Start a process that serves the models until `stop`, and wait until it answers.

    Its output goes to ``HOME/services/NAME.log``.

    Raises
    ------
    Conflict, ConfigError
        As `serving`.
    ServingError
        When it ends, or does not answer in time; its last lines are told.
    """
    # The process that is started looks again.
    preflight.token_for(ordered.names, ordered.serving, ordered.ray)
    log = path_of(ordered.name).with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-m", "raymm", "deploy", *ordered.names]
    command += ["--storage", ordered.storage, "--address", ordered.ray.address]
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


def champion_of(ordered: Order, name: str = "") -> Version:
    """Return the version of a model that an order would serve now; the first one's without name."""
    return prediction.champion(Registry(ordered.storage), name or ordered.name)

"""Puts the application on Ray Serve, and takes it down again.

A replica follows the release of its models by itself (`raymm.serving.released`), so that a
promotion restarts nothing, and tells the service's desk (`raymm.serving.desk`), an actor that the
first replica starts. Serve's HAProxy path is used where the process that started Ray had
``RAY_SERVE_ENABLE_HA_PROXY=1`` in its environment (raymm sets it); `uses_haproxy` tells. It binds
its own figures' ports (9101, and 8404 for statistics) to all interfaces.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from raymm.artifacts import Watcher
from raymm.errors import ServingError
from raymm.sections import ServingConfig
from raymm.serving.desk import Desk, Line, Opinion, desk_name
from raymm.serving.exposure import Bound, require_bound, require_same
from raymm.serving.logs import to_serve
from raymm.serving.reach import free_prefix, reachable, require_port, wait_answering
from raymm.serving.rehearsal import Care
from raymm.serving.released import ReleasedModel, ReleasedModels, Shelf
from raymm.serving.replica import Replica
from raymm.serving.scaling import listening, options
from raymm.serving.turnstile import Turnstile

_CONTROLLER = "SERVE_CONTROLLER_ACTOR"
_NAMESPACE = "serve"
_DESKS = "raymm"
_HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
_SETTLES = 15.0
"""Seconds that a desk which was started again waits to hear of every replica."""

_log = logging.getLogger("raymm.serving")


def application(
    names: Sequence[str],
    shelf: Shelf,
    make_watcher: Callable[[str], Watcher] | None,
    *,
    config: ServingConfig,
    tokens: Mapping[str, str],
    opinion: Opinion | None = None,
) -> Any:
    """Return a Serve application that serves one or more models.

    Parameters
    ----------
    names : sequence of str
        The models' names.
    shelf : Shelf
        Where a replica finds what is released; must be picklable.
    make_watcher : callable or None
        Returns a model's watcher on the replica; must be picklable (a module-level function, or a
        `functools.partial` of one).
    config : ServingConfig
    tokens : mapping of name to token
        Empty asks for none.
    opinion : Opinion or None
        Judges a canary's answers; picklable too.

    Returns
    -------
    ray.serve.Application
    """
    build = partial(
        _build,
        tuple(names),
        shelf,
        make_watcher,
        config=config.model_dump(),
        tokens=dict(tokens),
        opinion=opinion,
    )

    def build_app() -> Any:  # Serve takes a plain function only
        return build()

    serve = _serve()
    deployment = serve.deployment(
        serve.ingress(build_app)(Replica), name="model", **options(config)
    )
    return deployment.bind()


def _build(
    names: tuple[str, ...],
    shelf: Shelf,
    make_watcher: Callable[[str], Watcher] | None,
    *,
    config: Mapping[str, Any],
    tokens: Mapping[str, str],
    opinion: Opinion | None,
) -> Any:
    """Make the replica's ASGI application: load the models, then start to follow their release."""
    from raymm.serving.app import create_app

    settings = ServingConfig.model_validate(config)
    require_bound(settings, listens())
    to_serve()
    turnstile = Turnstile()
    line = _line(shelf, opinion, settings.release.slowdown)
    tried = settings.release
    slowdown = tried.slowdown if tried.rollback == "auto" else math.inf
    care = Care(load_seconds=tried.load_time, row_seconds=tried.row_time, slowdown=slowdown)
    how: Any = {"poll": settings.poll or 2.0, "turnstile": turnstile, "care": care}
    models = ReleasedModels(*(ReleasedModel(name, shelf, tell=line.tell, **how) for name in names))
    models.start()
    app = create_app(
        models, config=settings, tokens=tokens, watcher_for=make_watcher, standing=line.standing
    )
    return turnstile.around(app)


def _replicas(app: str) -> set[str]:
    """Return the full names of an application's replicas that live."""
    return {name for name in _actors(_NAMESPACE) if name.startswith(f"SERVE_REPLICA::{app}#")}


def _actors(namespace: str) -> list[str]:
    import ray

    found = ray.util.list_named_actors(all_namespaces=True)
    return [actor["name"] for actor in found if actor["namespace"] == namespace]


def _line(shelf: Shelf, opinion: Opinion | None, slowdown: float) -> Line:
    """Return this replica's line to the desk, which is started where it does not run."""
    import ray

    context = _serve().get_replica_context()
    app = context.app_name
    options = {
        "name": desk_name(app, (shelf, slowdown, opinion)),
        "namespace": _DESKS,
        "lifetime": "detached",
        "get_if_exists": True,
        "max_restarts": -1,
        "num_cpus": 0,
    }

    def find() -> Any:
        desk: Any = ray.remote(Desk).options(**options)
        return desk.remote(
            alive=partial(_replicas, app),
            refuse=shelf.refuse,
            opinion=opinion,
            slowdown=slowdown,
            settles=_settling,
        )

    name = context.replica_id.to_full_id_str()
    return Line(name, find=find, wait=partial(ray.get, timeout=10))


def _settling() -> float:
    """Return how long this desk waits to hear of replicas: a while if it was started again."""
    import ray

    return _SETTLES if ray.get_runtime_context().was_current_actor_reconstructed else 0.0


def deploy(app: Any, *, name: str, config: ServingConfig, timeout: float = 180.0) -> str:
    """Run an application on Serve and wait until it answers over HTTP.

    Serve is started where it is not running. The first application gets the root path; one
    deployed beside it gets ``/NAME``; one deployed again keeps its path.

    Parameters
    ----------
    app : ray.serve.Application
        From `application`.
    name : str
        The application's name in Serve.
    config : ServingConfig
    timeout : float
        Seconds until giving up.

    Returns
    -------
    str
        The address, without a slash at the end; predictions are at
        ``ADDRESS/v1/models/MODEL/predict``.

    Raises
    ------
    ServingError
        When the port is taken, the application fails, or time is up; what was started is
        removed first.
    """
    deadline = time.monotonic() + timeout
    had_serve = _running()
    if not had_serve:
        require_port(config.host, config.port)
    known = _prefixes() if had_serve else {}
    prefix = known.get(name) or free_prefix(name, known.values())
    try:
        with _quiet():
            host, port = _run(app, name, prefix, config, deadline)
    except BaseException as error:
        with contextlib.suppress(Exception):
            if not had_serve:
                _serve().shutdown()
            elif name not in known:
                undeploy(name)
        if isinstance(error, ServingError) or not isinstance(error, Exception):
            raise
        raise ServingError(
            f'"{name}" cannot be deployed: {type(error).__name__}: {error}'
        ) from error
    scheme = "https" if config.certificate else "http"
    return f"{scheme}://{reachable(host)}:{port}{prefix.rstrip('/')}"


def _run(
    app: Any, name: str, prefix: str, config: ServingConfig, deadline: float
) -> tuple[str, int]:
    """Start Serve and the application, wait for both, and return Serve's host and port."""
    serve = _serve()
    serve.start(
        proxy_location="EveryNode",
        **listening(config),
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    bound = listens()
    assert bound is not None  # it was started
    require_same(config, bound)
    require_bound(config, bound)  # before its replicas fail
    host, port = config.host if bound.host is None else bound.host, bound.port
    target = serve.RunTarget(target=app, name=name, route_prefix=prefix)
    serve.run_many([target], wait_for_applications_running=False)
    _wait_running(name, deadline)
    wait_answering(host, port, prefix, deadline, certificate=config.certificate)
    if not uses_haproxy() and not config.certificate:
        _log.warning(
            "Serve answers through its Python proxy, which takes some 9 ms a request; "
            "the process that starts Ray must have RAY_SERVE_ENABLE_HA_PROXY=1 and "
            "RAY_SERVE_THROUGHPUT_OPTIMIZED=1 in its environment for the faster one."
        )
    return host, port


def undeploy(name: str, *, timeout: float = 60.0) -> bool:
    """Remove an application from Serve; returns whether there was one.

    Requests that are being answered are finished first. Serve itself goes on running.

    Raises
    ------
    ServingError
        When it is still there after ``timeout`` seconds.
    """
    if not _running() or name not in _serve().status().applications:
        return False
    _serve().delete(name, _blocking=False)
    _close_desks(name)
    deadline = time.monotonic() + timeout
    while name in _serve().status().applications:
        if time.monotonic() > deadline:
            raise ServingError(
                f'"{name}" must be gone within {timeout:g} s, but it is still being removed. '
                "Look at the replicas' logs in the dashboard."
            )
        time.sleep(0.1)
    return True


def _close_desks(name: str) -> None:
    import ray

    for actor in _actors(_DESKS):
        if actor.rpartition("-")[0] == f"raymm-desk-{name}":
            with contextlib.suppress(ValueError, ray.exceptions.RayError):
                ray.kill(ray.get_actor(actor, namespace=_DESKS), no_restart=True)


def status(name: str) -> dict[str, Any]:
    """Return the state of an application as plain values.

    ``state`` is Serve's word, or "NOT_RUNNING"; ``replicas`` counts replicas by state;
    ``message`` tells what is wrong; ``haproxy`` tells which proxy answers.
    """
    found = _serve().status().applications.get(name) if _running() else None
    if found is None:
        return {"name": name, "state": "NOT_RUNNING", "replicas": {}, "message": ""}
    replicas: dict[str, int] = {}
    messages = [found.message]
    for deployment in found.deployments.values():
        messages.append(deployment.message)
        for state, count in deployment.replica_states.items():
            replicas[str(state)] = replicas.get(str(state), 0) + count
    return {
        "name": name,
        "state": str(getattr(found.status, "value", found.status)),
        "replicas": replicas,
        "message": "; ".join(filter(None, messages)),
        "haproxy": uses_haproxy(),
    }


def uses_haproxy() -> bool:
    """Return whether Serve's proxies on this cluster are HAProxy; False where Serve is off."""
    return any("HAProxy" in kind for kind in _proxies())


def _proxies() -> list[str]:
    """Return of what class each of Serve's proxies is."""
    import ray

    found: list[str] = []
    for name in _actors(_NAMESPACE):
        if "PROXY" in name:
            with contextlib.suppress(ValueError, AttributeError):
                handle = ray.get_actor(name, namespace=_NAMESPACE)
                found.append(handle._ray_actor_creation_function_descriptor.class_name)
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Serve tells of its own start away from a command's output."""
    logger = logging.getLogger("ray.serve")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _serve() -> Any:
    from ray import serve

    return serve


def _running() -> bool:
    return _CONTROLLER in _actors(_NAMESPACE)


def _prefixes() -> dict[str, str]:
    """Return the path of each application that is deployed."""
    from ray.serve.context import _get_global_client

    client: Any = _get_global_client()
    applications = client.get_serve_details()["applications"]
    return {name: app["route_prefix"] for name, app in applications.items() if app["route_prefix"]}


def listens() -> Bound | None:
    """Return where the Serve of this cluster listens; None where none runs.

    Raises ServingError when its controller does not answer.
    """
    import ray

    if not ray.is_initialized() or not _running():
        return None
    try:
        serve: Any = ray.get_actor(_CONTROLLER, namespace=_NAMESPACE)
        asked: Any = [serve.get_http_config.remote(), serve.get_grpc_config.remote()]
        http, grpc = ray.get(asked, timeout=30)  # it may be busy with the start of replicas
    except (ValueError, ray.exceptions.RayError) as error:
        raise ServingError(f"Serve does not say where it listens: {error}") from error
    return Bound(
        host=http.host,
        port=http.port,
        certified=bool(http.ssl_certfile),
        # Before any proxy runs, the environment tells what they will be.
        haproxy=uses_haproxy() or (not _proxies() and os.environ.get(_HAPROXY) == "1"),
        grpc_port=grpc.port if grpc.port > 0 and grpc.grpc_servicer_functions else None,
    )


def _wait_running(name: str, deadline: float) -> None:
    while True:
        found = _serve().status().applications.get(name)
        state = str(getattr(found.status, "value", found.status)) if found else "NOT_STARTED"
        if state == "RUNNING":
            return
        if state == "DEPLOY_FAILED" or time.monotonic() > deadline:
            told = status(name)["message"] or "no reason given"
            raise ServingError(f'"{name}" is not running ({state}): {told}')
        time.sleep(0.1)

"""Puts the application on Ray Serve, and takes it down again.

A replica polls its model's source and swaps a newly promoted version in by itself, so that a
promotion restarts nothing. Serve's HAProxy path is used where the process that started Ray had
``RAY_SERVE_ENABLE_HA_PROXY=1`` in its environment (raymm sets it); `uses_haproxy` tells. It binds
its own figures' ports (9101, and 8404 for statistics) to all interfaces.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from raymm.artifacts import Watcher
from raymm.errors import ServingError
from raymm.sections import ServingConfig
from raymm.serving.sources import Load, PolledModel

_CONTROLLER = "SERVE_CONTROLLER_ACTOR"
_NAMESPACE = "serve"
_TARGET_ONGOING = 8
"""Requests a replica is busy with before autoscaling adds another; one core answers one at once."""

_log = logging.getLogger("raymm.serving")


def application(
    name: str,
    load: Load,
    make_watcher: Callable[[str], Watcher] | None,
    *,
    config: ServingConfig,
    tokens: Mapping[str, str],
) -> Any:
    """Return a Serve application that serves one model.

    Parameters
    ----------
    name : str
        The model's name.
    load : Load
        Fetches a newer version on the replica; must be picklable (a module-level function, or a
        `functools.partial` of one).
    make_watcher : callable or None
        Returns the model's watcher on the replica; picklable too.
    config : ServingConfig
    tokens : mapping of name to token
        Empty asks for none.

    Returns
    -------
    ray.serve.Application
    """
    build = partial(
        _build, name, load, make_watcher, config=config.model_dump(), tokens=dict(tokens)
    )

    def build_app() -> Any:  # Serve takes a plain function only
        return build()

    serve = _serve()
    deployment = serve.deployment(
        serve.ingress(build_app)(_Replica), name="model", **_options(config)
    )
    return deployment.bind()


def _build(
    name: str,
    load: Load,
    make_watcher: Callable[[str], Watcher] | None,
    *,
    config: Mapping[str, Any],
    tokens: Mapping[str, str],
) -> Any:
    """Make the replica's ASGI application: load the model, then start polling."""
    from raymm.serving.app import create_app

    settings = ServingConfig.model_validate(config)
    model = PolledModel(name, load, poll=settings.poll or 2.0)
    model.start()
    return create_app(model, config=settings, tokens=tokens, watcher_for=make_watcher)


class _Replica:
    """What Serve asks of a replica besides answering."""

    app: Any

    def check_health(self) -> None:
        """Fail when no model is loaded, so that Serve replaces the replica."""
        models = self.app.state.models
        for name in models.names():
            models.get(name)


def _options(config: ServingConfig) -> dict[str, Any]:
    replicas = config.replicas
    scaling: dict[str, Any] = {"num_replicas": replicas.min}
    if replicas.max > replicas.min:
        scaling = {
            "autoscaling_config": {
                "min_replicas": replicas.min,
                "max_replicas": replicas.max,
                "target_ongoing_requests": min(_TARGET_ONGOING, config.max_queued),
            }
        }
    return scaling | {
        "max_ongoing_requests": config.max_queued,
        "max_queued_requests": config.max_queued,
        "health_check_period_s": 5,
        "health_check_timeout_s": 30,
        "graceful_shutdown_wait_loop_s": 1,
        "graceful_shutdown_timeout_s": 20,
        "ray_actor_options": {"num_cpus": 1},
        "logging_config": {"enable_access_log": False, "log_level": "WARNING"},
    }


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
        _require_port(config)
    known = _prefixes() if had_serve else {}
    prefix = known.get(name) or _prefix(name, set(known.values()))
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
    return f"http://{_reachable(host)}:{port}{prefix.rstrip('/')}"


def _run(
    app: Any, name: str, prefix: str, config: ServingConfig, deadline: float
) -> tuple[str, int]:
    """Start Serve and the application, wait for both, and return Serve's host and port."""
    serve = _serve()
    serve.start(
        proxy_location="EveryNode",
        http_options={"host": config.host, "port": config.port},
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    host, port = _listening(config)
    target = serve.RunTarget(target=app, name=name, route_prefix=prefix)
    serve.run_many([target], wait_for_applications_running=False)
    _wait_running(name, deadline)
    _wait_answering(host, port, prefix, deadline)
    if not uses_haproxy():
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
    deadline = time.monotonic() + timeout
    while name in _serve().status().applications:
        if time.monotonic() > deadline:
            raise ServingError(
                f'"{name}" must be gone within {timeout:g} s, but it is still being removed. '
                "Look at the replicas' logs in the dashboard."
            )
        time.sleep(0.1)
    return True


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
    import ray

    for actor in ray.util.list_named_actors(all_namespaces=True):
        if actor["namespace"] == _NAMESPACE and "PROXY" in actor["name"]:
            with contextlib.suppress(ValueError, AttributeError):
                handle = ray.get_actor(actor["name"], namespace=_NAMESPACE)
                if "HAProxy" in handle._ray_actor_creation_function_descriptor.class_name:
                    return True
    return False


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


def _client() -> Any:
    from ray.serve.context import _get_global_client

    return _get_global_client()


def _running() -> bool:
    import ray

    actors = ray.util.list_named_actors(all_namespaces=True)
    return any(
        actor["namespace"] == _NAMESPACE and actor["name"] == _CONTROLLER for actor in actors
    )


def _prefixes() -> dict[str, str]:
    """Return the path of each application that is deployed."""
    applications = _client().get_serve_details()["applications"]
    return {name: app["route_prefix"] for name, app in applications.items() if app["route_prefix"]}


def _prefix(name: str, taken: set[str]) -> str:
    return f"/{name}" if "/" in taken else "/"


def _listening(config: ServingConfig) -> tuple[str, int]:
    """Return the host and port that Serve listens on, which cannot change while it runs."""
    options = _client().http_config
    if options.port != config.port:
        raise ServingError(
            f"serving.port must be {options.port}, the port of the Serve that is running here, "
            f"but got {config.port}. Set it to {options.port}, or shut Serve down first."
        )
    return options.host or config.host, options.port


def _require_port(config: ServingConfig) -> None:
    """Raise ServingError when another process holds the port on this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            raise ServingError(
                f"serving.port must be free, but {config.host}:{config.port} cannot be had: "
                f"{error.strerror}. Set serving.port to another."
            ) from error


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


def _wait_answering(host: str, port: int, prefix: str, deadline: float) -> None:
    """Wait until a request through the proxy is answered by a replica that is ready."""
    path = f"{prefix.rstrip('/')}/v2/health/ready"
    while True:
        connection = http.client.HTTPConnection(_reachable(host), port, timeout=5)
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(connection),
        ):
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        if time.monotonic() > deadline:
            raise ServingError(
                f"http://{_reachable(host)}:{port}{path} must answer in time, but it does not."
            )
        time.sleep(0.05)


def _reachable(host: str) -> str:
    """Return an address at which this machine reaches a server bound to ``host``."""
    return "127.0.0.1" if host in {"", "0.0.0.0", "::"} else host  # noqa: S104 - compared only

"""The service as a plain FastAPI application, which runs on Ray Serve or any ASGI server.

Routes are Starlette routes that take the request and return a response as they are: for one row,
FastAPI's own reading and checking of a body would cost more than the model.

::

    GET  /                              a page for people; /assets/FILE belongs to it
    GET  /docs, /openapi.json           each model's own schema, with an example row
    GET  /metrics                       Prometheus
    GET  /v1/models[/NAME[/monitor]]    versions, schema, the monitor's report
    GET  /v1/models/NAME/release        who is served to whom, how each replica stands
    GET  /v1/models/NAME/status         all that the page shows of a model; …/history: its versions
    POST /v1/models/NAME/predict        {"records": [{"column": value, …}, …]}
                                        or a table in CSV or Arrow; Accept asks for one of them
    POST /v1/models/NAME/explain        the same: what each column adds to the prediction
    POST /v1/models/NAME/feedback       {"labels": [{"id": …, "label": …}, …]}
    GET  /v2/health/live, /v2/health/ready, /v2/models/NAME[/versions/N][/ready]
    POST /v2/models/NAME[/versions/N]/infer    Open Inference Protocol, JSON tensors

Every error is ``{"error": {"type", "message", …}}`` with the error tree's HTTP status; under
``/v2``, where the protocol has text, ``{"error": message, "type", …}``. With
tokens given, all but ``/``, ``/assets``, ``/docs`` and the health routes need one.
"""

from __future__ import annotations

import importlib.metadata
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from raymm.artifacts import Watcher, as_record
from raymm.errors import (
    InputError,
    NotFound,
    Overloaded,
    RaymmError,
    ServingError,
    TooLarge,
    TooOften,
    TooSlow,
    Unauthorized,
    Unsupported,
)
from raymm.sections import ServingConfig
from raymm.serving import inference_protocol, openapi
from raymm.serving.explaining import Explanations
from raymm.serving.feedback import Feedbacks
from raymm.serving.gate import ADMITTED, LOOKS, Gate, refusal
from raymm.serving.intake import discarded, is_unread
from raymm.serving.limits import Rates
from raymm.serving.overview import Overview, Standing
from raymm.serving.page import Page, slashed
from raymm.serving.predicting import Service
from raymm.serving.protocol import encode, example
from raymm.serving.sources import ModelSource, Served
from raymm.serving.tally import kind_of
from raymm.serving.tokens import guard_of
from raymm.serving.typical import typical, usual

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

Handler = Callable[["Request"], Awaitable["Response"]]

_log = logging.getLogger("raymm.serving")


def create_app(
    models: ModelSource,
    *,
    config: ServingConfig,
    tokens: Mapping[str, str],
    watcher_for: Callable[[str], Watcher] | None = None,
    standing: Standing | None = None,
) -> FastAPI:
    """Make the application.

    Parameters
    ----------
    models : ModelSource
        Asked at each request, so a version that is swapped in answers the next one.
    config : ServingConfig
        Limits of body, rows and requests held at once.
    tokens : mapping of name to token
        Any one of them admits a request, as do those that `raymm.serving.tokens.guard_of` finds;
        none at all asks for none.
    watcher_for : callable or None
        Returns the watcher of a model; asked once a model.
    standing : Standing or None
        Returns how all replicas of the service stand with a model's release.

    Raises
    ------
    ConfigError
        When a token is empty, or the file of tokens is wrong.
    """
    from starlette.exceptions import HTTPException

    guard = guard_of(config, tokens)
    service = Service(models, config=config, watcher_for=watcher_for)
    rates = Rates(config.rate) if config.rate is not None else None
    gate = Gate(guard, rates, service.telemetry, looks=Rates(LOOKS))
    app = _application(_endpoint(service.predict, service, gate))
    secured, opened = _routes(service, standing, secured=guard is not None)
    for (method, path), handler in secured.items():
        app.add_route(path, _endpoint(handler, service, gate), methods=[method])
    for (method, path), handler in opened.items():
        app.add_route(path, _endpoint(handler, service), methods=[method])
    app.add_exception_handler(HTTPException, _unrouted)
    app.state.models, app.state.service, app.state.guard = models, service, guard
    return app


def _application(predict: Handler) -> FastAPI:
    """Return an application that gives predictions to ``predict`` before anything else.

    FastAPI's middleware and routing take a fifth of the time of a small request. Whatever is not
    plainly ``POST /v1/models/NAME/predict`` goes their way, to the same handler.
    """
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    class Application(FastAPI):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["method"] == "POST":
                start, _, name = scope["path"].removesuffix("/predict").rpartition("/")
                if start == "/v1/models" and name and scope["path"].endswith("/predict"):
                    scope["path_params"] = {"name": name}
                    response = await predict(Request(scope, receive))
                    await response(scope, receive, send)
                    return
            await super().__call__(scope, receive, send)

    return Application(
        title="raymm", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )


def _routes(
    service: Service, standing: Standing | None, *, secured: bool
) -> tuple[dict[tuple[str, str], Handler], dict[tuple[str, str], Handler]]:
    """Return the handlers of routes that need a token, the busiest first, and of open routes."""
    views = _Views(service, standing, secured=secured)
    overview, page = Overview(service, standing), Page()
    model = "/v2/models/{name}"
    guarded: dict[tuple[str, str], Handler] = {
        ("POST", "/v1/models/{name}/predict"): service.predict,
        ("POST", "/v1/models/{name}/explain"): Explanations(service),
        ("POST", "/v1/models/{name}/feedback"): Feedbacks(service),
        ("POST", f"{model}/infer"): service.infer,
        ("POST", f"{model}/versions/{{version}}/infer"): service.infer,
        ("GET", "/metrics"): views.metrics,
        ("GET", "/openapi.json"): views.openapi,
        ("GET", "/v1/models"): views.models,
        ("GET", "/v1/models/{name}"): views.model,
        ("GET", "/v1/models/{name}/monitor"): views.monitor,
        ("GET", "/v1/models/{name}/release"): views.release,
        ("GET", "/v1/models/{name}/status"): overview.status,
        ("GET", "/v1/models/{name}/history"): overview.history,
        ("GET", model): views.metadata,
        ("GET", f"{model}/versions/{{version}}"): views.metadata,
    }
    opened: dict[tuple[str, str], Handler] = {
        ("GET", "/"): page.index,
        ("GET", "/assets/{file}"): page.asset,
        ("GET", "/docs"): page.docs,
        ("GET", "/v2"): views.server,
        ("GET", "/v2/health/live"): views.live,
        ("GET", "/v2/health/ready"): views.ready,
        ("GET", f"{model}/ready"): views.model_ready,
        ("GET", f"{model}/versions/{{version}}/ready"): views.model_ready,
    }
    return guarded, opened


def _endpoint(handler: Handler, service: Service, gate: Gate | None = None) -> Handler:
    """Return a handler that admits, answers, and counts every error and gives it its JSON form."""
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response

    async def endpoint(request: Request) -> Response:
        try:
            if gate is not None:
                gate.admit(request.scope)
            return await handler(request)
        except RaymmError as error:
            service.count_error(request.scope, kind_of(error), error.http_status)
            if _log.isEnabledFor(logging.INFO):
                _log.info(*refusal(request.scope, error))
            return await _closing(request, failure(error, request.scope))
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:
            service.count_error(request.scope, kind_of(error), 500)
            frames = "".join(traceback.format_tb(error.__traceback__))
            told = request.method, request.url.path[:200], type(error).__name__, frames
            _log.error("%s %r failed: %s\n%s", *told)  # the error's text may hold a user's value
            kind = type(error).__name__
            failed = ServingError(f"the service failed: {kind}. See the replica's log.")
            return await _closing(request, failure(failed, request.scope))

    return endpoint


async def _closing(request: Request, answer: Response) -> Response:
    """Return an error's answer, which ends the connection where the body is not read.

    For who was not let in nothing is read: it would hold a place meanwhile.
    """
    if "connection" in answer.headers or not is_unread(request.scope):
        return answer
    if ADMITTED not in request.scope or not await discarded(request.scope, request.receive):
        answer.headers["connection"] = "close"
    return answer


def failure(error: RaymmError, scope: Mapping[str, Any]) -> Response:
    """Return an error's answer to a request: its HTTP status and document."""
    from starlette.responses import Response

    told = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, InputError):
        told |= {"field": error.field, "observed": error.observed, "allowed": error.allowed}
    headers = {}
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = 'Bearer realm="raymm"'
    if isinstance(error, Overloaded):
        headers["retry-after"] = "1"
    if isinstance(error, TooOften):
        headers["retry-after"] = str(error.retry_after)
    if isinstance(error, TooLarge | TooSlow | Unsupported | Unauthorized):
        headers["connection"] = "close"  # the rest of the body is not read
    return Response(
        encode(_told(told, scope)),
        status_code=error.http_status,
        headers=headers,
        media_type="application/json",
    )


def _told(error: dict[str, str], scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return an error's document; the Open Inference Protocol has text where ours has an object.

    Source: "Inference Response JSON Error Object" of the protocol's inference_rest.md.
    """
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if path != "/v2" and not path.startswith("/v2/"):
        return {"error": error}
    return {"error": error.pop("message"), **error}


async def _unrouted(request: Request, error: Exception) -> Response:
    """Answer an unknown path or method as JSON."""
    from starlette.responses import Response

    status = getattr(error, "status_code", 500)
    if status == 404 and (there := slashed(request)) is not None:
        return there
    path = request.url.path[:200]
    message = f"{path} is not a path of this service. See /docs."
    if status == 405:
        message = f"{path} does not take {request.method}. See /docs."
    told = {"type": "NotFound" if status == 404 else "MethodNotAllowed", "message": message}
    request.app.state.service.count_error(request.scope, told["type"], status)
    answer = Response(
        encode(_told(told, request.scope)),
        status_code=status,
        headers=getattr(error, "headers", None),
        media_type="application/json",
    )
    return await _closing(request, answer)


def _json(value: Any, status: int = 200) -> Response:
    from starlette.responses import Response

    return Response(encode(value), status_code=status, media_type="application/json")


class _Views:
    """What is answered besides predictions."""

    def __init__(self, service: Service, standing: Standing | None, *, secured: bool) -> None:
        self._service = service
        self._standing = standing
        self._models = service.models
        self._secured = secured

    def _loaded(self) -> list[Served]:
        loaded = []
        for name in self._models.names():
            try:
                loaded.append(self._models.get(name))
            except NotFound:
                continue
        return loaded

    async def openapi(self, request: Request) -> Response:
        """Return the OpenAPI document of the models as they are now."""
        config = self._service.config
        made = openapi.document(
            self._loaded(),
            secured=self._secured,
            max_rows=config.max_rows,
            max_explained=config.max_explained,
        )
        return _json(made)

    async def metrics(self, request: Request) -> Response:
        """Return the figures of this process and of the monitors."""
        from starlette.responses import PlainTextResponse

        versions = {served.name: served.number for served in self._loaded()}
        reports = {name: self._service.report(name) for name in versions}
        text = self._service.telemetry.text(versions, reports)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def models(self, request: Request) -> Response:
        """List the models."""
        return _json({"models": [_summary(served) for served in self._loaded()]})

    async def model(self, request: Request) -> Response:
        """Return one model's schema."""
        served = self._models.get(request.path_params["name"])
        schema, statistics = served.schema, served.statistics
        told = {
            "example": {"records": [example(schema)]},
            "typical": typical(schema, statistics),
            "usual": usual(schema, statistics),
        }
        return _json(as_record(_summary(served) | told | {"schema": schema}))

    async def monitor(self, request: Request) -> Response:
        """Return the monitor's report."""
        served = self._models.get(request.path_params["name"])
        report = as_record(self._service.report(served.name))
        return _json({"model": served.name, "version": served.number, "report": report})

    async def release(self, request: Request) -> Response:
        """Return which versions are served here, and how all replicas stand."""
        served = self._models.get(request.path_params["name"])
        shadow, shadows = self._models.shadow(served.name), self._service.shadows
        told = {
            "model": served.name,
            "champion": served.number,
            "shadow": None if shadow is None else shadow.number,
            "shadowed": {
                "answered": shadows.answered,
                "failed": shadows.failed,
                "dropped": shadows.dropped,
            },
        }
        everywhere = {} if self._standing is None else await self._standing(served.name)
        return _json(told | as_record(everywhere))

    async def server(self, request: Request) -> Response:
        """Return the server's metadata."""
        return _json(
            {"name": "raymm", "version": importlib.metadata.version("raymm"), "extensions": []}
        )

    async def live(self, request: Request) -> Response:
        """Say that the process answers."""
        return _json({"live": True})

    async def ready(self, request: Request) -> Response:
        """Say whether every model is loaded."""
        ready = len(self._loaded()) == len(self._models.names())
        told = _json({"ready": ready}, 200 if ready else 503)
        if not ready:
            told.headers["retry-after"] = "1"
        return told

    async def model_ready(self, request: Request) -> Response:
        """Say whether a model is loaded."""
        served = self._service.served(request)
        return _json({"name": served.name, "ready": True})

    async def metadata(self, request: Request) -> Response:
        """Return a model's metadata."""
        served = self._service.served(request)
        return _json(inference_protocol.metadata(served.name, served.number, served.schema))


def _summary(served: Served) -> dict[str, Any]:
    return {
        "name": served.name,
        "version": served.number,
        "sha256": served.sha256,
        "task": served.schema.task,
        "target": served.schema.target,
        "classes": list(served.schema.classes),
    }

"""Predictions that reach the application at once, while Serve goes on counting them.

Around each request Serve's replica finds out its route, makes an identifier, a context and a
record of it, opens five context managers and takes a place in two queues: 0.15 of the 0.36 ms of
processor time that a prediction of one row was measured to take there. What of it a prediction
needs is kept by `Lane`: the number of requests being answered, which autoscaling, draining before
a replica ends and the gauges go by, and the counts and latencies that Serve exports. What is left
out has no use in raymm: the request's context for calls to other deployments, the access log
(off), the limit of requests at once (the application has the same one) and Serve's time limit
(none is set).

Serve hands each latency to two histograms of Ray's one by one, and Ray's agent on each node does so
again: 40 µs of processor time for a request that takes 160. Of a second's answers the first `ALL`
are told to the histograms, and of the others one of `EACH`, drawn at random; the counters of
requests and errors and the longest time stay exact. `/metrics` tells the times of all.

A lane is made of attributes of Serve's replica that are not its public interface. Where one is
missing, or Serve is set up in a way that needs the rest, there is no lane and Serve answers
itself; so it is in Serve's Python proxy, around which it puts the same middlewares.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALL, EACH = 50, 16
_PREDICT, _INFER = "/v1/models/{name}/predict", "/v2/models/{name}/infer"


class Lane:
    """Answers predictions with a replica's application, and keeps the replica's accounts.

    Parameters
    ----------
    replica : ray.serve._private.replica.Replica

    Raises
    ------
    AttributeError, KeyError
        When the replica is not built as this needs.
    ValueError
        When Serve must see every request itself.
    """

    def __init__(self, replica: Any) -> None:
        options, wrapper = replica._http_options, replica._user_callable_wrapper
        if options.request_timeout_s is not None or wrapper._run_user_code_in_separate_thread:
            raise ValueError("Serve watches the time, or the application has a loop of its own")
        self._app: ASGIApp = replica._user_callable_asgi_app
        if not callable(self._app):
            raise ValueError("the replica's application is no ASGI application")
        manager = replica._metrics_manager
        if not manager._cached_metrics_enabled:
            raise ValueError("Serve exports each request's figures at once, which takes long")
        self._begin: Callable[[Any], None] = manager.inc_num_ongoing_requests
        self._end: Callable[[Any], None] = manager.dec_num_ongoing_requests
        self._record: Callable[..., None] = manager.record_request_metrics
        self._record_ingress: Callable[..., None] = manager.record_ingress_request_metrics
        http = next(one for one in manager._ingress_metrics if one == "HTTP")
        self._http = http
        self._request = SimpleNamespace(protocol=http, is_direct_ingress=True)
        self._named = {
            "protocol": http,
            "method": "POST",
            "app_name": replica._deployment_id.app_name,
            "deployment_name": replica._deployment_id.name,
        }
        self._used: Callable[[float], None] = manager._user_code_time_accumulator.add
        self._longest: Any = manager._max_processing_latency_trackers
        self._counted: Any = manager._cached_request_counter
        self._counted_tags: Any = manager._cached_ingress_request_counter
        self._tags: dict[tuple[str, int], Any] = {}
        self._second, self._left = 0, ALL

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; its path starts with ``/v1/models/`` or ``/v2/models/``."""
        status = 500
        route = _PREDICT if scope["path"].startswith("/v1/") else _INFER

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        start = time.perf_counter()
        failed = True
        self._begin(self._request)
        try:
            await self._app(scope, receive, seen)
            failed = False
        finally:
            self._end(self._request)
            taken = (time.perf_counter() - start) * 1e3
            self._tell(route, status, taken, failed=failed)

    def _tell(self, route: str, status: int, taken: float, *, failed: bool) -> None:
        """Let Serve count an answer of a route, and the milliseconds that it took."""
        tags = None if failed else self._tags.get((route, status))
        if tags is not None and not self._sampled():
            self._used(taken)
            self._longest[route].add(taken)
            self._counted[route] += 1
            self._counted_tags[self._http][tags] += 1
            return
        self._record(route=route, latency_ms=taken, is_error=failed)
        self._record_ingress(
            **self._named,
            route=route,
            latency_ms=taken,
            is_error=status >= 400,
            status_code=str(status),
        )
        if tags is None and not failed and status < 400:
            self._learn(route, status)

    def _sampled(self) -> bool:
        """Return whether an answer's time is told to the histograms."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._left = second, ALL
        self._left -= 1
        return self._left >= 0 or random.random() * EACH < 1  # noqa: S311  (no secret)

    def _learn(self, route: str, status: int) -> None:
        """Remember under which tags Serve has just counted an answer, where that is plain."""
        told = {route, str(status)}
        found = [tags for tags in self._counted_tags[self._http] if told <= {v for _, v in tags}]
        if len(found) == 1:
            self._tags[route, status] = found[0]


def lane_of(app: ASGIApp) -> Lane | None:
    """Return the lane of the replica whose server runs ``app``; None where there is none.

    ``app`` is what Serve gives a middleware: its own middlewares, one in the other, and inside
    them a method of the replica.
    """
    while (inner := getattr(app, "_app", None)) is not None:
        app = inner
    try:
        return Lane(app.__self__)  # type: ignore[attr-defined]
    except (AttributeError, LookupError, StopIteration, TypeError, ValueError):
        return None

"""The lane: what the application is asked, what Serve's accounts then say, when there is none."""

import asyncio
from collections import Counter, defaultdict
from types import SimpleNamespace

import pytest

from raymm.serving import lane
from raymm.serving.ingress import ShortWay
from raymm.serving.lane import Lane, lane_of

PREDICT = {"type": "http", "method": "POST", "path": "/v1/models/churn/predict", "headers": []}
INFER = PREDICT | {"path": "/v2/models/churn/infer"}


class Manager:
    """Keeps the accounts that a replica's metrics manager keeps."""

    def __init__(self):
        self._cached_metrics_enabled = True
        self._ingress_metrics = {"HTTP": None}
        self.ongoing, self.most, self.recorded, self.ingress = 0, 0, [], []
        self.used, self._user_code_time_accumulator = [], SimpleNamespace()
        self._user_code_time_accumulator.add = self.used.append
        self._max_processing_latency_trackers = defaultdict(Longest)
        self._cached_request_counter: Counter = Counter()
        self._cached_ingress_request_counter: defaultdict = defaultdict(Counter)

    def inc_num_ongoing_requests(self, request):
        assert request.is_direct_ingress
        assert request.protocol == "HTTP"
        self.ongoing += 1
        self.most = max(self.most, self.ongoing)

    def dec_num_ongoing_requests(self, request):
        self.ongoing -= 1

    def record_request_metrics(self, *, route, latency_ms, is_error, exception_type=None):
        assert latency_ms >= 0
        self.recorded.append((route, is_error))
        self._user_code_time_accumulator.add(latency_ms)
        self._max_processing_latency_trackers[route].add(latency_ms)
        self._cached_request_counter[route] += not is_error

    def record_ingress_request_metrics(self, *, protocol, latency_ms, **told):
        names = ("method", "route", "app_name", "deployment_name", "is_error", "status_code")
        assert set(told) == set(names)
        self.ingress.append(tuple(told[name] for name in names))
        tags = frozenset(
            {"a": told["route"], "b": told["method"], "c": told["status_code"]}.items()
        )
        self._cached_ingress_request_counter[protocol][tags] += 1


class Longest:
    def __init__(self):
        self.longest = 0.0

    def add(self, taken):
        self.longest = max(self.longest, taken)


class Replica:
    """What the lane reads of Serve's replica."""

    def __init__(self, app):
        self._user_callable_asgi_app = app
        self._http_options = SimpleNamespace(request_timeout_s=None)
        self._user_callable_wrapper = SimpleNamespace(_run_user_code_in_separate_thread=False)
        self._metrics_manager = Manager()
        self._deployment_id = SimpleNamespace(app_name="churn", name="model")
        self.itself = 0

    async def ingress(self, scope, receive, send):
        self.itself += 1


class Wrapped:
    """A middleware of Serve's."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        await self._app(scope, receive, send)


def answering(status, fails=False):
    async def app(scope, receive, send):
        await asyncio.sleep(0)
        if fails:
            raise RuntimeError("no answer")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    return app


def ask(app, scope, times=1):
    sent = []

    async def send(message):
        sent.append(message)

    async def all_at_once():
        await asyncio.gather(*(app(dict(scope), None, send) for _ in range(times)))

    asyncio.run(all_at_once())
    return sent


@pytest.mark.parametrize("scope", [PREDICT, INFER])
def test_a_prediction_reaches_the_application_and_is_counted(scope):
    replica = Replica(answering(200))
    sent = ask(ShortWay(Wrapped(replica.ingress)), scope, times=3)
    assert [one["type"] for one in sent].count("http.response.body") == 3
    route = scope["path"].replace("churn", "{name}")
    manager = replica._metrics_manager
    assert (manager.ongoing, manager.most, replica.itself) == (0, 3, 0)
    assert manager.recorded == [(route, False)] * 3
    assert manager.ingress == [("POST", route, "churn", "model", False, "200")] * 3


@pytest.mark.parametrize("drawn", [0.0, 0.99])
def test_of_many_answers_a_second_all_are_counted_and_the_times_of_a_sample_told(
    drawn, monkeypatch
):
    monkeypatch.setattr(lane.time, "monotonic", lambda: 7.5)
    monkeypatch.setattr(lane.random, "random", lambda: drawn)
    replica = Replica(answering(200))
    app = ShortWay(Wrapped(replica.ingress))
    for scope in (PREDICT, INFER):
        ask(app, scope, times=3 * lane.ALL)
    manager, routes = replica._metrics_manager, ("/v1/models/{name}/predict", lane._INFER)
    # One is told more of each route: with it, how Serve counts is learned.
    told = 6 * lane.ALL if not drawn else lane.ALL + 2
    assert len(manager.recorded) == len(manager.ingress) == told
    assert manager._cached_request_counter == dict.fromkeys(routes, 3 * lane.ALL)
    assert sorted(manager._cached_ingress_request_counter["HTTP"].values()) == [3 * lane.ALL] * 2
    assert len(manager.used) == 6 * lane.ALL
    assert all(manager._max_processing_latency_trackers[route].longest for route in routes)
    monkeypatch.setattr(lane.time, "monotonic", lambda: 8.5)
    ask(app, PREDICT, times=3)
    assert len(manager.recorded) == told + 3


def test_failures_and_refusals_are_told_one_by_one(monkeypatch):
    monkeypatch.setattr(lane.random, "random", lambda: 0.99)
    replica = Replica(answering(422))
    ask(ShortWay(Wrapped(replica.ingress)), PREDICT, times=3 * lane.ALL)
    assert len(replica._metrics_manager.recorded) == 3 * lane.ALL


def test_a_refused_request_is_an_error_of_the_client_alone():
    replica = Replica(answering(422))
    ask(ShortWay(Wrapped(replica.ingress)), PREDICT)
    assert replica._metrics_manager.recorded[0][1] is False
    assert replica._metrics_manager.ingress[0][-2:] == (True, "422")


def test_a_failure_gives_its_place_back_and_is_told():
    replica = Replica(answering(200, fails=True))
    with pytest.raises(RuntimeError, match="no answer"):
        ask(ShortWay(Wrapped(replica.ingress)), PREDICT)
    manager = replica._metrics_manager
    assert manager.ongoing == 0
    assert manager.recorded[0][1] is True
    assert manager.ingress[0][-2:] == (True, "500")


@pytest.mark.parametrize(
    "scope",
    [
        PREDICT | {"method": "GET"},
        PREDICT | {"path": "/metrics"},
        PREDICT | {"path": "/other/v1/models/churn/predict"},  # an application with a prefix
        {"type": "lifespan"},
    ],
)
def test_all_else_goes_through_serve(scope):
    replica = Replica(answering(200))
    ask(ShortWay(Wrapped(replica.ingress)), scope)
    assert replica.itself == 1
    assert replica._metrics_manager.recorded == []


def _timed(replica):
    replica._http_options.request_timeout_s = 5.0


def _threaded(replica):
    replica._user_callable_wrapper._run_user_code_in_separate_thread = True


def _at_once(replica):
    replica._metrics_manager._cached_metrics_enabled = False


def _other_ray(replica):
    del replica._metrics_manager


def _no_application(replica):
    replica._user_callable_asgi_app = None


@pytest.mark.parametrize("change", [_timed, _threaded, _at_once, _other_ray, _no_application])
def test_where_serve_must_see_each_request_there_is_no_lane(change):
    replica = Replica(answering(200))
    assert isinstance(lane_of(Wrapped(Wrapped(replica.ingress))), Lane)
    change(replica)
    assert lane_of(Wrapped(replica.ingress)) is None
    ask(ShortWay(Wrapped(replica.ingress)), PREDICT)
    assert replica.itself == 1


def test_a_server_without_serve_has_none():
    assert lane_of(answering(200)) is None

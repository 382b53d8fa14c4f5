"""How a model stands, for a person who looks: one answer with all that a page shows.

``GET /v1/models/NAME/status`` puts together who is served, the traffic, and what the monitor says
of the champion; ``GET /v1/models/NAME/history`` tells versions and changes. What cannot be had
just now (no monitor, a desk that does not answer) is told as such, and the rest is answered.

All who ask for the same at once share one answer. Storage is read in a thread of its own; where
it is away or slow, no second read begins before the first has ended, and predictions go on.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from raymm import errors
from raymm.artifacts import as_record
from raymm.errors import Overloaded, failed_of, refused_of, status_of
from raymm.serving.flights import Flights
from raymm.serving.limits import Room
from raymm.serving.overview_openapi import ROLES
from raymm.serving.predicting import Service
from raymm.serving.protocol import encode
from raymm.serving.sources import Served
from raymm.serving.tally import Counts, bounds
from raymm.serving.trial import finished

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Standing = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Returns how all replicas of the service stand with a model's release."""

KEPT_SECONDS = 10.0
"""How long a history that was read is told again."""
SILENT_SECONDS = 30.0
"""Age of a monitor's report from which on it is told; a replica fetches it every few seconds."""
_WAITING = 256
"""Readers that wait for a history at once: they share one read, so each costs little."""
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_JUDGED = ("quality", "estimated", "champion")
"""What is told of each version's monitor as it is."""


class Overview:
    """Tells how the models of a service stand.

    Parameters
    ----------
    service : Service
    standing : Standing or None
        None where this process is the whole service.
    clock : callable
        Returns seconds that only grow.
    """

    def __init__(
        self,
        service: Service,
        standing: Standing | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._standing = standing
        self._clock = clock
        self._room = Room(_WAITING)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="raymm-history")
        self._histories: dict[str, tuple[float, bytes]] = {}
        self._reads: dict[str, Future[bytes]] = {}
        self._flights: Flights[bytes] = Flights()

    async def status(self, request: Request) -> Response:
        """Return the model's release, its versions' traffic, drift and quality.

        Raises
        ------
        NotFound
            When no model of that name is loaded.
        """
        from starlette.responses import Response

        name = self._service.models.get(request.path_params["name"]).name
        told = await self._flights.share(f"status {name}", lambda: self._stands(name))
        return Response(told, media_type="application/json")

    async def _stands(self, name: str) -> bytes:
        service = self._service
        served = service.models.get(name)
        standing, note = await self._everywhere(served.name)
        local = service.models.reports().get(served.name, {})
        report = service.report(served.name)
        release = _release(served, local, standing)
        told = {
            "model": served.name,
            "version": served.number,
            "time": time.time(),
            "release": release | {"note": note or local.get("failure", "")},
            "versions": list(_versions(release, local, standing, report)),
            "traffic": self._traffic(served.name, release, report),
            "drift": _drift(report),
            "quality": report.get("quality"),
            "estimated": report.get("estimated"),
            "labels": report.get("labels"),
            "advice": report.get("advice"),
            "monitor": _monitor(report, watched=service.watcher(served) is not None),
        }
        return _written(told)

    async def _everywhere(self, name: str) -> tuple[Mapping[str, Any] | None, str]:
        """Return how all replicas stand, or None and why that is not known."""
        if self._standing is None:
            return None, ""
        try:
            return as_record(await self._standing(name)), ""
        except errors.ServingError as error:
            return None, str(error)

    def _traffic(
        self, name: str, release: Mapping[str, Any], report: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return requests, rows and errors of all versions but the shadow, whose nobody sees."""
        seen = [
            one
            for number, one in report.get("versions", {}).items()
            if number != str(release["shadow"])
        ]
        process = self._service.telemetry.totals(name)
        failed: dict[str, int] = {} if seen else process["errors"]
        for one in seen:
            for kind, count in one["errors"].items():
                failed[kind] = failed.get(kind, 0) + count
        return {
            "source": "monitor" if seen else "process",
            "since": min((one["since"] for one in seen), default=None),
            "requests": sum(one["requests"] for one in seen) if seen else process["requests"],
            "rows": sum(one["rows"] for one in seen) if seen else process["rows"],
            "errors": [
                {"type": kind, "status": status_of(kind), "count": count}
                for kind, count in sorted(failed.items(), key=lambda pair: -pair[1])
            ],
            "bounds": bounds(),
        }

    async def history(self, request: Request) -> Response:
        """Return the model's versions and the changes of what is served, newest first.

        Raises
        ------
        NotFound
            When no model of that name is loaded.
        RegistryError
            When storage is damaged.
        Overloaded
            When storage is away, or takes longer than ``serving.answer_time``.
        """
        from starlette.responses import Response

        served = self._service.models.get(request.path_params["name"])
        until, content = self._histories.get(served.name, (0.0, b""))
        if not content or self._clock() >= until:
            with self._room:
                content = await self._flights.share(
                    f"history {served.name}", lambda: self._fetched(served.name)
                )
        return Response(content, media_type="application/json")

    async def _fetched(self, name: str) -> bytes:
        """Read a history from storage; raises Overloaded while an earlier read goes on."""
        seconds, late = self._service.config.answer_time, self._reads.get(name)
        if late is None or late.done():
            read = self._reads[name] = self._threads.submit(self._read, name)
            if await finished(read, seconds):
                del self._reads[name]
                content = _read_from(read)
                self._histories[name] = self._clock() + KEPT_SECONDS, content
                return content
        raise Overloaded(
            f"storage takes longer than {seconds:g} s to tell the history. Ask again in a few "
            "seconds; if that goes on, see whether storage answers."
        )

    def _read(self, name: str) -> bytes:
        return encode({"model": name, **as_record(self._service.models.history(name))})


def _read_from(read: Future[bytes]) -> bytes:
    """Return what was read; raises Overloaded where storage is away, which time may mend."""
    try:
        return read.result()
    except (errors.NotFound, errors.Conflict):
        raise
    except (errors.RegistryError, OSError) as error:
        damaged = isinstance(error.__cause__, ValueError | KeyError | TypeError)
        if isinstance(error, errors.RegistryError) and (error.__cause__ is None or damaged):
            raise
        raise Overloaded(
            f"storage does not answer: {error} Ask again in a few seconds; if that goes on, see "
            "whether storage is reachable."
        ) from error


def _written(told: dict[str, Any]) -> bytes:
    """Write plain values; those that JSON lacks (NaN, arrays) are made plain first.

    Most reports hold none, and to go through the thousands of values of a wide model's would keep
    requests waiting.
    """
    try:
        return encode(told)
    except (errors.ServingError, TypeError):
        return encode(as_record(told))


def _release(
    served: Served, local: Mapping[str, Any], standing: Mapping[str, Any] | None
) -> dict[str, Any]:
    refused = {**local.get("refused", {}), **((standing or {}).get("refused") or {})}
    return {
        "champion": served.number,
        **{role: local.get(role) for role in ("canary", "shadow")},
        "share": local.get("share", 0.0),
        "sequence": local.get("sequence"),
        "replicas": len(standing["replicas"]) if standing is not None else 1,
        "refused": [
            {"number": int(number), "reason": one["reason"]} for number, one in refused.items()
        ],
    }


def _versions(
    release: Mapping[str, Any],
    local: Mapping[str, Any],
    standing: Mapping[str, Any] | None,
    report: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Yield what is known of each version that has a role or is watched, the champion first.

    What a monitor counts is of all times that a version was served; a canary's "trial" is what the
    replicas that live counted since it became the canary.
    """
    roles = {str(release[role]): role for role in ROLES if release[role] is not None}
    watched = report.get("versions", {})
    counted = (standing or local).get("counts", {})
    for number in [*roles, *sorted(set(watched) - set(roles), key=int)]:
        seen = watched.get(number, {})
        counts = counted.get(number)
        known = Counts.of(counts) if counts and "within" in counts else Counts()
        usual = {name: known.quantile(share) or None for name, share in _QUANTILES.items()}
        latency = seen.get("latency") or usual
        trial = {"requests": known.requests, "failed": known.errors, "latency": usual}
        yield {
            "number": int(number),
            "role": roles.get(number, ""),
            "share": _share(roles.get(number, ""), release["share"]),
            "requests": seen.get("requests", known.requests),
            "rows": seen.get("rows"),
            "refused": refused_of(seen["errors"]) if seen else None,
            "failed": failed_of(seen["errors"]) if seen else known.errors,
            "latency": {name: latency.get(name) for name in _QUANTILES},
            "within": list(known.within),
            "drifted": _drifted(seen),
            "trial": trial if counts and roles.get(number) == "canary" else None,
            **{key: seen.get(key) for key in _JUDGED},
        }


def _drifted(seen: Mapping[str, Any]) -> int | None:
    """Return how many features drifted; None before there was a window to tell by."""
    found = len(seen.get("drifted", ()))
    return found if found or seen.get("window", {}).get("complete") else None


def _share(role: str, share: float) -> float | None:
    """Return the share of the requests that a version in that role answers."""
    return {"champion": 1.0 - share, "canary": share}.get(role)


def _drift(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the champion's drift; features as a list, since any text may be a column's name."""
    if "window" not in report:
        return None
    return {
        "window": report["window"],
        "features": [{"name": name, **one} for name, one in report.get("features", {}).items()],
        "prediction": report.get("prediction"),
    }


def _monitor(report: Mapping[str, Any], *, watched: bool) -> dict[str, Any]:
    why = report.get("note", "")
    if not watched:
        why = "No monitor runs beside this server."
    elif not report:
        why = "The monitor has not reported yet."
    elif (age := report.get("age", 0)) > SILENT_SECONDS:
        why = f"The monitor has not answered for {age:.0f} s; what it said last is shown."
    return {"running": bool(report), "note": why, "dropped": report.get("dropped", 0)}

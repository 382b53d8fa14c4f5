"""Explains predictions: what each column of a row adds to what the model answers.

``{"records": [{"column": value, …}, …]}``, and ``"class"`` for one class other than the last of
two or the one predicted of more; or a table in CSV or Arrow. What is computed is told by
``method`` in the answer; it runs in a thread of its own, of which there is one, so that
predictions are not held up by it.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.requests import ClientDisconnect

from raymm.artifacts import Tensors
from raymm.errors import InputError, ServingError, TooLarge
from raymm.plugins import explainers
from raymm.serving.bulk import sheet_of
from raymm.serving.columns import shown
from raymm.serving.limits import Room
from raymm.serving.media import JSON, headers_of, media_of
from raymm.serving.protocol import document, encode
from raymm.serving.sources import Served

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from raymm.explanation.explainer import Contributions, Explainer
    from raymm.serving.predicting import Service

TOLERANCE = 1e-5
"""Base and contributions add up to the prediction within so much, times the larger of it and 1:
float32 outputs that are summed as float64."""
_WAITING = 8
"""Requests that wait or are explained at most."""


class Explanations:
    """Explains the predictions of a service's models.

    Parameters
    ----------
    service : Service
    method : str
        Of the catalogue of explainers.
    """

    def __init__(self, service: Service, method: str = "shapley") -> None:
        self._service = service
        self._kind = explainers.get(method)
        self._explainers: dict[str, tuple[Served, Explainer]] = {}
        self._room = Room(_WAITING)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="raymm-explain")

    async def __call__(self, request: Request) -> Response:
        """Answer a request.

        Raises
        ------
        InputError, TooLarge
            When a row is wrong, or there are more than ``serving.max_explained``.
        Overloaded
            When others wait already, or it takes longer than ``serving.answer_time``.
        """
        from starlette.responses import Response

        start, telemetry = time.perf_counter(), self._service.telemetry
        served = self._service.served(request)
        try:
            content = await self._content(request, served)
        except Exception as error:
            if not isinstance(error, ClientDisconnect):
                telemetry.explained(served.name, served.number, None)
            raise
        telemetry.explained(served.name, served.number, time.perf_counter() - start)
        return Response(content, media_type="application/json")

    async def _content(self, request: Request, served: Served) -> bytes:
        service, headers = self._service, headers_of(request.scope)
        media = media_of(headers)
        self._room.require()
        body = await service.intake.read(headers, request.receive, request.scope)
        with self._room:
            return await service.in_thread(
                self._threads, self._room, self._answer, served, body, media
            )

    def _read(self, served: Served, body: bytes, media: bytes) -> tuple[Tensors, str | None]:
        """Return a request's tensors, and the class that it asks about."""
        config = self._service.config
        if media != JSON:
            sheet = sheet_of(
                media,
                body,
                known=served.sheets.known,
                max_rows=config.max_rows,
                max_bytes=self._service.max_bytes,
            )
            _require_few(sheet.rows, config.max_explained)
            return served.sheets.tensors(sheet), None
        asked = document(body)
        wanted = asked.pop("class", None) if type(asked) is dict else None
        records = served.reader.records(asked, max(config.max_rows, 1))
        _require_few(len(records), config.max_explained)
        classes = served.schema.classes
        if wanted is not None and (type(wanted) is not str or wanted not in classes):
            allowed = " or ".join(map(repr, classes[:20])) or "left out for a model of numbers"
            raise InputError(field="class", observed=shown(wanted), allowed=allowed)
        return served.reader.tensors(records), wanted

    def _answer(self, served: Served, body: bytes, media: bytes) -> bytes:
        tensors, wanted = self._read(served, body, media)
        classes = served.schema.classes
        try:
            found = self._explainer(served).explain(tensors)
        except ValueError as error:
            raise ServingError(f"{error}. Roll back to another version.") from error
        predictions = found.outputs.astype(np.float32)
        labels = served.runner.labels(predictions if classes else predictions[:, 0])
        return encode(
            {
                "model": served.name,
                "version": served.number,
                "method": found.method,
                "output": "probability" if classes else served.schema.target,
                "tolerance": TOLERANCE,
                "explanations": [
                    _told(found, row, label, classes, wanted) for row, label in enumerate(labels)
                ],
            }
        )

    def _explainer(self, served: Served) -> Explainer:
        known = self._explainers.get(served.name)
        if known is None or known[0] is not served:
            seed = int(served.sha256[:16], 16)
            made = self._kind(served.runner.predict, served.schema, served.statistics, seed=seed)
            known = self._explainers[served.name] = served, made
        return known[1]


def _require_few(rows: int, most: int) -> None:
    if rows > most:
        raise TooLarge(
            f"{most} rows may be explained at once, but there are {rows}. "
            "Split the request, or raise serving.max_explained."
        )


def _told(
    found: Contributions, row: int, label: Any, classes: tuple[str, ...], wanted: str | None
) -> dict[str, Any]:
    """Return one row's explanation as plain values."""
    about: dict[str, Any] = {"prediction": label}
    place = 0
    if classes:
        chosen = wanted or (classes[-1] if len(classes) == 2 else label)
        place = classes.index(chosen)
        about["class"] = chosen
    values, errors = found.values[row, place].tolist(), found.errors[row, place].tolist()
    return about | {
        "base": float(found.base[place]),
        "value": float(found.outputs[row, place]),
        "contributions": dict(zip(found.columns, values, strict=True)),
        "errors": dict(zip(found.columns, errors, strict=True)),
    }

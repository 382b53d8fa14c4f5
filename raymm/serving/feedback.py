"""True labels that become known after their predictions, told by the predictions' names.

``{"labels": [{"id": "k3J9….1f", "label": "yes"}, …]}``, or a table in CSV or Arrow with the columns
``id`` and ``label``. Labels, and how ids are written, are checked here; which prediction each
belongs to is known to the monitor alone. So they are received here, and what became of each is
counted there: one that names no prediction is an orphan and no error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raymm.artifacts import Feedback, Schema
from raymm.errors import InputError, NotFound, TooLarge
from raymm.features.columns import number, spell
from raymm.serving.bulk import sheet_of
from raymm.serving.cells import TextRoom, encoded, reading
from raymm.serving.columns import shown
from raymm.serving.identity import require_row_name
from raymm.serving.limits import Room
from raymm.serving.media import JSON, headers_of, media_of
from raymm.serving.predicting import is_small
from raymm.serving.protocol import document, encode
from raymm.serving.sheets import Sheet

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from raymm.serving.predicting import Service

_KEYS = frozenset({"id", "label"})


class LabelReader:
    """Reads the labels of one schema's target.

    Classes are told by their text, or by what the table has in their place: a number that equals
    the class (``1`` for "1.0"), a truth value that is spelled like one. Values are finite numbers.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._known: Mapping[Any, str] = {label: label for label in schema.classes}
        numbers = {number(label): label for label in schema.classes}
        self._numbers = {} if None in numbers else numbers
        folded = {label.casefold(): label for label in schema.classes}
        self._folded = folded if len(folded) == len(schema.classes) else {}
        self._allowed = "a finite number"
        if schema.classes:
            told = ", ".join(map(repr, schema.classes[:10]))
            self._allowed = f"one of {told}" + (", …" if len(schema.classes) > 10 else "")

    def feedback(self, body: Any, most: int) -> Feedback:
        """Return the labels of a request.

        Parameters
        ----------
        body : object
            The request's JSON document.
        most : int
            Labels that it may hold.

        Raises
        ------
        InputError
            For the first label whose name or value is wrong; no label is taken then.
        TooLarge
            When there are more than ``most``.
        """
        if type(body) is not dict or set(body) != {"labels"}:
            raise InputError(
                field="body",
                observed=shown(body),
                allowed='an object {"labels": [{"id": ..., "label": ...}, ...]}',
            )
        given = body["labels"]
        if type(given) is not list or not given:
            observed = "an empty list" if given == [] else shown(given)
            raise InputError(field="labels", observed=observed, allowed="a list of labels")
        if len(given) > most:
            raise TooLarge(
                f"a request may hold {most} labels at most, but this one holds {len(given)}. "
                "Split it, or raise serving.max_rows."
            )
        ids, labels = [], []
        for row, one in enumerate(given):
            field = f"labels[{row}]"
            if type(one) is not dict or set(one) != _KEYS:
                raise InputError(
                    field=field, observed=shown(one), allowed='an object with "id" and "label"'
                )
            ids.append(require_row_name(one["id"], f"{field}.id"))
            labels.append(self._label(one["label"], f"{field}.label"))
        return Feedback(ids=tuple(ids), labels=tuple(labels))

    def table(self, sheet: Sheet) -> Feedback:
        """Return the labels of a table.

        Raises
        ------
        InputError
            For the first row whose name or label is wrong, or a column that should not be there.
        """
        if set(sheet.columns) != _KEYS:
            raise InputError(
                field=sheet.head,
                observed=f"the columns {', '.join(sorted(sheet.columns))[:60]}",
                allowed="the columns id and label",
            )
        ids, labels = [], []
        with reading():
            names, values = (_values(sheet, name) for name in sorted(_KEYS))
        for row, (name, value) in enumerate(zip(names, values, strict=True)):
            try:
                ids.append(require_row_name(name, "id"))
                labels.append(self._label(value, "label", textual=sheet.textual))
            except InputError as error:
                place = f"{sheet.place(row)}{error.field}"
                raise InputError(
                    field=place, observed=error.observed, allowed=error.allowed
                ) from None
        return Feedback(ids=tuple(ids), labels=tuple(labels))

    def _label(self, value: Any, field: str, *, textual: bool = False) -> str | float:
        plain = number(value.strip()) if textual and not self._schema.classes else value
        found = self._class(value) if self._schema.classes else _finite(plain)
        if found is None:
            raise InputError(field=field, observed=shown(value), allowed=self._allowed)
        return found

    def _class(self, value: Any) -> str | None:
        if not isinstance(value, str | bool | int | float):
            return None
        text = spell(value)
        if text in self._known:
            return text
        if isinstance(value, bool):
            return self._folded.get(text.casefold())
        plain = number(text)
        return self._numbers.get(plain) if plain is not None else None


def _values(sheet: Sheet, name: str) -> list[Any]:
    """Return a column's values; rows that share a text share it here too."""
    made: list[Any] = []
    room = TextRoom(sheet.most)
    for array in sheet.columns[name].chunks:
        try:
            codes, found = encoded(array, room)
        except pa.ArrowException:  # neither text nor numbers
            raise InputError(
                field=f"{sheet.head}, {name}",
                observed=f"a column of {str(array.type)[:60]}",
                allowed="a column of text or of numbers",
            ) from None
        made.extend([found[code] for code in codes.tolist()])
    return made


def _finite(value: Any) -> float | None:
    if type(value) not in (int, float):
        return None
    try:
        plain = float(value)
    except OverflowError:
        return None
    return plain if math.isfinite(plain) else None


class Feedbacks:
    """Takes labels in for the models of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._readers: dict[str, LabelReader] = {}
        self._room = Room(service.config.max_queued)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="raymm-feedback")

    async def __call__(self, request: Request) -> Response:
        """Answer a request with how many labels were received, and for how many ids.

        Raises
        ------
        NotFound
            When no monitor watches the model.
        Overloaded
            When others wait already, or it takes longer than ``serving.answer_time``.
        """
        from starlette.responses import Response

        service = self._service
        served = service.served(request)
        headers = headers_of(request.scope)
        media = media_of(headers)
        self._room.require()
        body = await service.intake.read(headers, request.receive, request.scope)
        reader = self._readers.get(served.name)
        if reader is None or reader._schema is not served.schema:
            reader = self._readers[served.name] = LabelReader(served.schema)
        with self._room:
            if is_small(media, len(body)):
                feedback = self._read(reader, body, media)
            else:
                feedback = await service.in_thread(
                    self._threads, self._room, self._read, reader, body, media
                )
        watcher = service.watcher(served)
        if watcher is None:
            raise NotFound(f'no monitor of "{served.name}" runs, so nobody takes its labels.')
        watcher.learn(feedback)
        told = {
            "model": served.name,
            "received": len(feedback.ids),
            "predictions": len(set(feedback.ids)),
        }
        return Response(encode(told), media_type="application/json")

    def _read(self, reader: LabelReader, body: bytes, media: bytes) -> Feedback:
        rows = self._service.config.max_rows
        if media == JSON:
            return reader.feedback(document(body), rows)
        most = self._service.max_bytes
        return reader.table(sheet_of(media, body, known=_KEYS, max_rows=rows, max_bytes=most))

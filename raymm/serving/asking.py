"""What a request asks, once its body is read: how a version reads its rows and writes its answer.

One for each protocol. What a version answers with stands apart from both, so that the rows of
several requests may be predicted by one call (see `raymm.serving.batching`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from raymm.artifacts import Tensors
from raymm.errors import InputError
from raymm.sections import ServingConfig
from raymm.serving import inference_protocol, protocol
from raymm.serving.answers import write_table
from raymm.serving.bulk import sheet_of
from raymm.serving.columns import shown
from raymm.serving.identity import HEADER, agreed, claimed
from raymm.serving.media import JSON, Headers, asked_of, media_of
from raymm.serving.raw_tensors import document_of
from raymm.serving.shadow import Read
from raymm.serving.sources import Served

Predicted = npt.NDArray[Any]
"""float32 probabilities of shape (n, classes), or values of shape (n,)."""
Answer = tuple[Served, bytes, bytes, Tensors, Predicted, str, Read]
"""Who answered, the response's body and its media type, the tensors of shape (n,), the predictions,
their name, and how another version reads the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request whose body was read.

    Attributes
    ----------
    identity : str
        The prediction's name.
    read : callable
        Makes a version's tensors of it; raises InputError for a wrong row.
    write : callable
        Returns the response's body and its media type, of a version and its predictions.
    """

    identity: str
    read: Read
    write: Callable[[Served, Predicted], tuple[bytes, bytes]]

    def answer(self, served: Served) -> Answer:
        """Let a version answer by a call of its own."""
        return self.answered_of(served, self.read(served))

    def answered_of(self, served: Served, tensors: Tensors) -> Answer:
        """Let a version answer what it has read by a call of its own."""
        return self.answered(served, tensors, served.runner.predict(tensors))

    def answered(self, served: Served, tensors: Tensors, predictions: Predicted) -> Answer:
        """Return the answer that a version's predictions of its tensors make."""
        content, media = self.write(served, predictions)
        return served, content, media, tensors, predictions, self.identity, self.read


Ask = Callable[[Served, bytes, str, Headers, ServingConfig], Asked]
"""Reads a body: of whom it is asked, the body, the name that the prediction has unless it brings
one, the headers, and the limits."""


def records(
    served: Served, body: bytes, identity: str, headers: Headers, config: ServingConfig
) -> Asked:
    """Read a request of raymm's own protocol: JSON, CSV or Arrow; an `Ask`.

    Raises
    ------
    InputError, TooLarge, Unsupported
        When it is none, or holds too much.
    """
    media, asked, named = media_of(headers), asked_of(headers), headers.get(HEADER)
    if media == JSON:
        document = protocol.document(body)
        rows = served.reader.records(document, config.max_rows)
        if len(document) > 1 or named is not None:
            identity = agreed(document.get("id"), named, identity)
    else:
        identity = agreed(None, named, identity)
        sheet = sheet_of(
            media,
            body,
            known=served.sheets.known,
            max_rows=config.max_rows,
            max_bytes=config.max_body_kb * 1024,
        )

    def read(served: Served) -> Tensors:
        return served.reader.tensors(rows) if media == JSON else served.sheets.tensors(sheet)

    def write(served: Served, predictions: Predicted) -> tuple[bytes, bytes]:
        if asked == JSON:
            labels = served.runner.labels(predictions)
            return served.writer.write(labels, predictions, identity), JSON
        about = {"model": served.name, "version": str(served.number), "id": identity}
        return write_table(asked, served.schema, predictions, about), asked

    return Asked(identity=identity, read=read, write=write)


def tensors(
    served: Served, body: bytes, identity: str, headers: Headers, config: ServingConfig
) -> Asked:
    """Read a request of the Open Inference Protocol; an `Ask`.

    Raises
    ------
    InputError, TooLarge
        When it is none, or holds too much.
    """
    document = document_of(body, headers)
    inference_protocol.require_object(document)
    named = document.get("id")
    identity = claimed(None if named == "" else named, identity)  # as gRPC's clients leave it out

    def read(served: Served) -> Tensors:
        return inference_protocol.tensors(served.schema, document, config.max_rows)

    def write(served: Served, predictions: Predicted) -> tuple[bytes, bytes]:
        about = {"model_name": served.name, "model_version": str(served.number), "id": identity}
        labels = served.runner.labels(predictions)
        made = inference_protocol.answer(served.schema, labels, predictions, about)
        made["outputs"] = _wanted(made["outputs"], document.get("outputs"))
        return protocol.encode(made), JSON

    return Asked(identity=identity, read=read, write=write)


def _wanted(outputs: list[dict[str, Any]], asked: Any) -> list[dict[str, Any]]:
    """Return the outputs that the request asked for; all where it asked for none in particular."""
    if asked is None or asked == []:
        return outputs
    names = {output["name"]: output for output in outputs}
    if type(asked) is not list:
        raise InputError(field="outputs", observed=shown(asked), allowed="a list of outputs")
    for position, output in enumerate(asked):
        name = output.get("name") if type(output) is dict else None
        if type(name) is not str or name not in names:
            raise InputError(
                field=f"outputs[{position}].name", observed=shown(name), allowed=" or ".join(names)
            )
    return [names[output["name"]] for output in asked]

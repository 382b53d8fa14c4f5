"""The JSON schemas of what `raymm.serving.overview` tells, for the description of the service."""

from __future__ import annotations

from typing import Any

ROLES = ("champion", "canary", "shadow")
"""What a version may be in a release."""

_NUMBER: dict[str, Any] = {"type": ["number", "null"]}
_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_ANY: dict[str, Any] = {"type": ["object", "null"]}


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


_TIMES = _object((), **dict.fromkeys(("p50", "p95", "p99"), _NUMBER))
_TRIAL: dict[str, Any] = {
    **_object(
        ("requests", "failed", "latency"),
        requests={"type": "integer"},
        failed={"type": "integer", "description": "The champion answered, or failed too"},
        latency=_TIMES,
    ),
    "type": ["object", "null"],
    "description": "Of a canary, since it became that; all else is of all its times",
}
STATUS: dict[str, Any] = _object(
    ("model", "version", "time", "release", "versions", "traffic", "monitor"),
    model={"type": "string"},
    version={"type": "integer", "description": "The champion's number"},
    time={"type": "number", "description": "Seconds since 1970 UTC"},
    release=_object(
        (*ROLES, "share", "replicas", "refused"),
        **{role: {"type": ["integer", "null"]} for role in ROLES},
        share={"type": "number", "description": "Of the requests that the canary answers"},
        replicas={"type": "integer"},
        refused=_list(_object(("number", "reason"), number={"type": "integer"}, reason=_TEXT)),
        note={"type": "string", "description": "What is not known, or failed"},
    ),
    versions=_list(
        _object(
            ("number", "role", "requests", "failed", "latency", "within"),
            number={"type": "integer"},
            role={"type": "string", "enum": [*ROLES, ""]},
            share=_NUMBER,
            requests={"type": "integer"},
            refused={"type": ["integer", "null"], "description": "By 4xx; null where not counted"},
            failed={"type": "integer", "description": "By 5xx, which is no fault of who asks"},
            latency=_TIMES,
            within=_list({"type": "integer", "description": "Answers by traffic.bounds"}),
            drifted={"type": ["integer", "null"], "description": "Features"},
            trial=_TRIAL,
            quality=_ANY,
            estimated=_ANY,
        )
    ),
    traffic=_object(
        ("source", "requests", "rows", "errors", "bounds"),
        source={"type": "string", "enum": ["monitor", "process"]},
        since=_NUMBER,
        requests={"type": "integer"},
        rows={"type": "integer"},
        errors=_list(
            _object(
                ("type", "status", "count"),
                type={"type": "string"},
                status={"type": "integer"},
                count={"type": "integer"},
            )
        ),
        bounds=_list({"type": "number", "description": "Seconds"}),
    ),
    drift=_ANY,
    quality=_ANY,
    estimated=_ANY,
    labels=_ANY,
    advice=_ANY,
    monitor=_object(("running", "note"), running={"type": "boolean"}, note={"type": "string"}),
)
"""JSON schema of a status; times in seconds, quantiles null where nothing was answered."""
HISTORY: dict[str, Any] = _object(
    ("model", "versions", "changes"),
    model={"type": "string"},
    versions=_list(
        _object(
            ("number", "created", "blessed"),
            number={"type": "integer"},
            created=_TEXT,
            blessed={"type": "boolean"},
            run=_TEXT,
            bytes=_NUMBER,
            family=_TEXT,
            metric=_TEXT,
            score=_NUMBER,
            score_of=_TEXT,
        )
    ),
    changes=_list(
        _object(
            ("sequence", "number", "action", "reason", "created"),
            sequence={"type": "integer"},
            number={"type": "integer"},
            previous={"type": ["integer", "null"]},
            action={"type": "string", "enum": ["promote", "rollback", "canary", "shadow", "end"]},
            reason=_TEXT,
            forced={"type": "boolean"},
            share=_NUMBER,
            who=_TEXT,
            created=_TEXT,
        )
    ),
    steps=_list(
        _object(
            ("sequence", "action", "number", "reason", "created"),
            sequence={"type": "integer"},
            action={"type": "string", "description": "Of raymm keep, such as train or reject"},
            number={"type": ["integer", "null"]},
            reason=_TEXT,
            created=_TEXT,
        )
    ),
    keeper={"type": ["string", "null"], "description": "Who runs raymm keep for the model now"},
)
"""JSON schema of a history."""

"""What every guarded request passes: its token, its token's rate, and the accounts by token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.types import Scope

from raymm.errors import RaymmError
from raymm.serving.limits import Rates
from raymm.serving.media import headers_of
from raymm.serving.telemetry import Telemetry
from raymm.serving.tokens import Guard

LOOKS = 50.0
"""Requests a second by which one token may look at the service (all but POST): the dearest of
them, the figures of a model of a hundred columns, takes some milliseconds."""


ADMITTED = "raymm.caller"
"""Where a request's scope holds the name of the token that it was admitted by; empty for none."""


class Gate:
    """Admits requests.

    Parameters
    ----------
    guard : Guard or None
        None asks for no token; all requests then share one rate.
    rates : Rates or None
        What a token may ask of models (POST).
    looks : Rates or None
        How often it may look at the service (all else), which costs nothing of the other.
    telemetry : Telemetry
        Counts requests that are admitted by the token's name.
    """

    def __init__(
        self,
        guard: Guard | None,
        rates: Rates | None,
        telemetry: Telemetry,
        *,
        looks: Rates | None = None,
    ) -> None:
        self._guard = guard
        self._rates = rates
        self._looks = looks
        self._telemetry = telemetry

    def admit(self, scope: Scope) -> None:
        """Let a request in, and write its token's name to its scope.

        Raises
        ------
        Unauthorized
            When it brings no known token.
        TooOften
            When its token sent too many.
        """
        caller = ""
        if self._guard is not None:
            caller = self._guard.admit(headers_of(scope).get(b"authorization"))
        scope[ADMITTED] = caller
        rates = self._rates if scope["method"] == "POST" else self._looks
        if rates is not None:
            rates.spend(caller)
        if self._guard is not None:
            self._telemetry.admitted(caller)


def refusal(scope: Scope, error: RaymmError) -> tuple[Any, ...]:
    """Return a log line and its arguments: who was refused what, without anything of the body."""
    told: Mapping[str, Any] = scope
    return (
        "%s %r of token %r: %d %s",
        told["method"],
        told["path"][:200],
        told.get(ADMITTED, ""),
        error.http_status,
        type(error).__name__,
    )

"""What is looked at before a service starts, so that what is wrong is told before Ray runs."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from raymm import cluster, occupied
from raymm.endpoint import alive, find
from raymm.errors import Conflict
from raymm.sections import RayConfig, ServingConfig
from raymm.serving.exposure import require_certificate, require_safe
from raymm.serving.tokens import guard_of, token_alone


def token_for(names: Sequence[str], serving: ServingConfig, ray: RayConfig) -> str:
    """Return the token of a service that may start: RAYMM_TOKEN's, or a new one; "" without.

    Of a cluster that is joined, the tokens' file is read where its replicas run, not here.

    Raises
    ------
    Conflict
        When a service of one of the models runs on this machine already, or another one that this
        one would collide with.
    ConfigError
        When a token, its file or the certificate is wrong.
    ServingError
        When it would listen wider than is safe, or its port is held.
    """
    for name in names:
        running = find(name)
        if running is not None and alive(running):
            raise Conflict(
                f"{name} is served already at {running.url}. Promote a version and it takes it "
                f"over, or end it with: raymm stop {name}"
            )
    guarded, joining = serving.auth == "token", cluster.joins(ray)
    require_safe(serving, guarded=guarded, encrypted=require_certificate(serving))
    token = token_alone() or secrets.token_urlsafe(32) if guarded else ""
    if not joining:
        guard_of(serving, {"default": token} if token else {})
        occupied.require_room(names, serving)
    return token

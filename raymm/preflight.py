"""What is looked at before a service starts, so that what is wrong is told before Ray runs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from os.path import abspath, expanduser

from raymm import cluster, occupied
from raymm.endpoint import alive, ending_with, find
from raymm.errors import ConfigError, Conflict
from raymm.sections import RayConfig, ServingConfig
from raymm.serving.exposure import require_certificate, require_safe
from raymm.serving.tokens import TokenFile, guard_of, token_alone

PATHS = ("tokens", "certificate", "key")
"""Keys of ``serving`` that name files or folders."""


def paths_of(serving: ServingConfig) -> dict[str, str]:
    """Return the files that a service reads, by their keys and absolute, as seen from here."""
    given = {key: getattr(serving, key) for key in PATHS}
    return {key: abspath(expanduser(path)) for key, path in given.items() if path is not None}


def unready(serving: ServingConfig) -> Iterator[str]:
    """Yield what would keep a service from starting here: tokens or a certificate it cannot read.

    That is no error of a service that starts elsewhere, where its files may be mounted only.
    """
    try:
        require_certificate(serving)
    except ConfigError as error:
        yield str(error)
    try:
        _ = TokenFile(serving.tokens) if serving.tokens is not None else None
    except ConfigError as error:
        yield str(error)


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
                f"over, or end it with: raymm stop {' '.join(ending_with(running))}"
            )
    guarded, joining = serving.auth == "token", cluster.joins(ray)
    require_safe(serving, guarded=guarded, encrypted=require_certificate(serving))
    token = token_alone() or secrets.token_urlsafe(32) if guarded else ""
    if not joining:
        guard_of(serving, {"default": token} if token else {})
        occupied.require_room(names, serving)
    return token

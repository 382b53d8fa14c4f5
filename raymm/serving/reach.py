"""Whether a port can be had, and whether a service answers there."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Collection

from raymm.errors import ServingError


def require_port(host: str, port: int) -> None:
    """Raise ServingError when another process holds the port on this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServingError(
                f"serving.port must be free, but {host}:{port} cannot be had: "
                f"{error.strerror}. Set serving.port to another."
            ) from error


def wait_answering(
    host: str, port: int, prefix: str, deadline: float, *, certificate: str | None = None
) -> None:
    """Wait until a request through the proxy is answered by a replica that is ready.

    With the file of a ``certificate`` it is asked over TLS; raises ServingError past the deadline.
    """
    path = f"{prefix.rstrip('/')}/v2/health/ready"
    while True:
        connection = _connection(reachable(host), port, certificate)
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(connection),
        ):
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        if time.monotonic() > deadline:
            raise ServingError(
                f"{reachable(host)}:{port}{path} must answer in time, but it does not."
            )
        time.sleep(0.05)


def _connection(host: str, port: int, certificate: str | None) -> http.client.HTTPConnection:
    if certificate is None:
        return http.client.HTTPConnection(host, port, timeout=5)
    # Whether it is up is asked here, not who it is: a certificate may name another host.
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    return http.client.HTTPSConnection(host, port, timeout=5, context=context)


def reachable(host: str) -> str:
    """Return an address at which this machine reaches a server bound to ``host``."""
    return "127.0.0.1" if host in {"", "0.0.0.0", "::"} else host  # noqa: S104 - compared only


def free_prefix(name: str, taken: Collection[str]) -> str:
    """Return the path of a new application: the root where that is free, else its name.

    >>> free_prefix("wine", []), free_prefix("wine", ["/"])
    ('/', '/wine')
    """
    return f"/{name}" if "/" in taken else "/"

"""Where a service may be reached from: wider than this machine only with a token and TLS.

Ray Serve binds gRPC to all interfaces, in clear text, whatever ``serving.host`` says.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from raymm.errors import ConfigError, ServingError
from raymm.sections import ServingConfig


def loopback(host: str) -> bool:
    """Return whether an address is reached from this machine alone.

    >>> loopback("127.0.0.1"), loopback("localhost"), loopback("::1"), loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_safe(config: ServingConfig, *, guarded: bool, encrypted: bool) -> None:
    """Refuse to bind wider than this machine without a token and TLS, and gRPC at all.

    Parameters
    ----------
    guarded : bool
        Whether requests need a token.
    encrypted : bool
        Whether what answers speaks TLS itself: Ray Serve's own proxy does with ``certificate`` and
        ``key``; HAProxy does not.

    Raises
    ------
    ServingError
        Unless ``serving.insecure`` says that something in front of the service brings both.
    """
    if config.insecure:
        return
    if config.grpc_port is not None:
        raise ServingError(
            f"serving.grpc_port must be left out, but got {config.grpc_port}: Ray Serve opens it "
            "to the whole network, in clear text, tokens included. Set serving.insecure: true "
            "where a firewall closes the port or something in front of it brings TLS."
        )
    if loopback(config.host) or (guarded and encrypted):
        return
    lacking = _lacking(guarded, encrypted)
    raise ServingError(
        f"serving.host must be a loopback address without {lacking}, but got "
        f'"{config.host}". Set serving.auth: token, serving.certificate and serving.key, or '
        "serving.insecure: true where something in front of the service brings them."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Where a Serve that runs listens, which cannot change while it runs.

    Attributes
    ----------
    host : str or None
        Of its proxies; None where they do not listen for HTTP.
    certified : bool
        Whether it was given a certificate.
    haproxy : bool
        Whether HAProxy answers, which speaks no TLS all the same.
    grpc_port : int or None
        On every interface; None where gRPC is off.
    """

    host: str | None
    port: int
    certified: bool = False
    haproxy: bool = False
    grpc_port: int | None = None


def require_bound(config: ServingConfig, bound: Bound | None) -> None:
    """Refuse to serve behind proxies that listen wider than `require_safe` allows.

    A Serve configuration file says where they listen, whatever ``serving.host`` says. Of a Serve
    that does not run yet (None) nothing is known.

    Raises
    ------
    ServingError
        Unless ``serving.insecure`` says that something in front of the service brings what lacks.
    """
    if config.insecure or bound is None:
        return
    leave = "set serving.insecure: true, in a Serve file in the application's args"
    if bound.grpc_port is not None:
        raise ServingError(
            f"Serve's grpc_options must be left out, but it listens on port {bound.grpc_port}: Ray "
            "Serve opens that to the whole network, in clear text, tokens included. Where a "
            f"firewall closes the port or something in front of it brings TLS, {leave}."
        )
    encrypted = bound.certified and not bound.haproxy
    if bound.host is None or loopback(bound.host) or (config.auth == "token" and encrypted):
        return
    lacking = _lacking(config.auth == "token", encrypted)
    off = " with RAY_SERVE_ENABLE_HA_PROXY=0, as HAProxy speaks none," if bound.haproxy else ""
    raise ServingError(
        f"Serve's http_options.host must be a loopback address without {lacking}, but it is "
        f'"{bound.host}". Set it to 127.0.0.1; or set http_options.ssl_certfile and '
        f"ssl_keyfile{off} and serving.auth: token; or, where something in front of the service "
        f"brings both, {leave}."
    )


def require_same(config: ServingConfig, bound: Bound) -> None:
    """Refuse a configuration that a Serve which runs already cannot follow; raises ServingError."""
    if bound.port != config.port:
        raise ServingError(
            f"serving.port must be {bound.port}, the port of the Serve that is running here, "
            f"but got {config.port}. Set it to {bound.port}, or shut Serve down first."
        )
    if bound.certified != bool(config.certificate):
        state = "speaks TLS" if bound.certified else "speaks no TLS"
        raise ServingError(
            f"the Serve that is running here {state}, which cannot change while it runs. Give the "
            "same serving.certificate and serving.key, or shut Serve down first."
        )
    if config.certificate and bound.haproxy:
        raise ServingError(
            "Serve's HAProxy speaks no TLS. Start Ray with RAY_SERVE_ENABLE_HA_PROXY=0 in its "
            "environment, or set serving.insecure and no certificate behind something with TLS."
        )
    host = config.host if bound.host is None else bound.host
    there = config.model_copy(update={"host": host})
    require_safe(there, guarded=config.auth == "token", encrypted=bound.certified)


def _lacking(guarded: bool, encrypted: bool) -> str:
    return " and ".join([*([] if guarded else ["a token"]), *([] if encrypted else ["TLS"])])


def require_certificate(config: ServingConfig) -> bool:
    """Return whether there is a certificate, after reading it together with its key.

    Raises
    ------
    ConfigError
        When either cannot be read, or they do not belong together.
    """
    if config.certificate is None or config.key is None:
        return False
    for name, path in (("certificate", config.certificate), ("key", config.key)):
        if not Path(path).is_file():
            raise ConfigError(f"serving.{name} must be a PEM file, but {path} is no file.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            config.certificate, config.key, password=lambda: ""
        )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"serving.certificate and serving.key must be PEM files that belong together, the key "
            f"without a password, but {config.certificate} and {config.key} are not: {error}."
        ) from error
    return True

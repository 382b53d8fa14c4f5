"""Where a service may be reached from: wider than this machine only with a token and TLS.

Ray Serve binds gRPC to all interfaces, in clear text, whatever ``serving.host`` says.
"""

from __future__ import annotations

import ipaddress
import ssl
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
    lacking = " and ".join([*([] if guarded else ["a token"]), *([] if encrypted else ["TLS"])])
    raise ServingError(
        f"serving.host must be a loopback address without {lacking}, but got "
        f'"{config.host}". Set serving.auth: token, serving.certificate and serving.key, or '
        "serving.insecure: true where something in front of the service brings them."
    )


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

import subprocess

import pytest

from raymm.errors import ConfigError, ServingError
from raymm.sections import ServingConfig
from raymm.serving.exposure import loopback, require_certificate, require_safe


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Paths of a certificate for localhost and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    paths = str(folder / "cert.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True
    )
    return paths


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_this_machine_needs_nothing(host):
    assert loopback(host)
    require_safe(ServingConfig(host=host), guarded=False, encrypted=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.7", "example.org", "127.0.0.1.nip"])
def test_everything_wider_needs_a_token_and_tls(host):
    config = ServingConfig(host=host)
    for guarded, encrypted, told in (
        (False, False, "a token and TLS"),
        (True, False, "without TLS"),
        (False, True, "without a token"),
    ):
        with pytest.raises(ServingError, match=told):
            require_safe(config, guarded=guarded, encrypted=encrypted)
    require_safe(config, guarded=True, encrypted=True)
    insecure = ServingConfig(host=host, insecure=True)
    require_safe(insecure, guarded=False, encrypted=False)


def test_grpc_is_open_to_the_network_and_needs_leave():
    config = ServingConfig(grpc_port=9000)
    with pytest.raises(
        ServingError, match=r"grpc_port .*9000.*clear text.*serving\.insecure: true"
    ):
        require_safe(config, guarded=True, encrypted=True)
    leave = ServingConfig(grpc_port=9000, insecure=True)
    require_safe(leave, guarded=False, encrypted=False)


def test_a_certificate_and_its_key(certificate, tmp_path):
    path, key = certificate
    assert not require_certificate(ServingConfig())
    assert require_certificate(ServingConfig(certificate=path, key=key))
    (tmp_path / "text").write_text("hello")
    for wrong in ((path, path), (key, key), (str(tmp_path / "text"), key), ("/none", key)):
        with pytest.raises(ConfigError, match=r"serving\.certificate"):
            require_certificate(ServingConfig(certificate=wrong[0], key=wrong[1]))


def test_a_serve_that_is_bound_wide_is_joined_with_leave_only(monkeypatch):
    from types import SimpleNamespace

    from raymm.serving import deployment

    bound = SimpleNamespace(host="0.0.0.0", port=8000, ssl_certfile=None)
    monkeypatch.setattr(deployment, "_client", lambda: SimpleNamespace(http_config=bound))
    with pytest.raises(ServingError, match=r"0\.0\.0\.0"):
        deployment._bound(ServingConfig())
    assert deployment._bound(ServingConfig(insecure=True)) == ("0.0.0.0", 8000)
    bound.host = "127.0.0.1"
    assert deployment._bound(ServingConfig()) == ("127.0.0.1", 8000)

import subprocess
from types import SimpleNamespace

import pytest

from raymm.errors import ConfigError, ServingError
from raymm.sections import ServingConfig
from raymm.serving.exposure import (
    Bound,
    loopback,
    require_bound,
    require_certificate,
    require_safe,
    require_same,
)


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


def test_a_serve_that_is_bound_wide_is_joined_with_leave_only():
    wide, narrow = Bound(host="0.0.0.0", port=8000), Bound(host="127.0.0.1", port=8000)
    with pytest.raises(ServingError, match=r"0\.0\.0\.0"):
        require_same(ServingConfig(), wide)
    require_same(ServingConfig(insecure=True), wide)
    require_same(ServingConfig(), narrow)
    with pytest.raises(ServingError, match=r"serving\.port must be 8000"):
        require_same(ServingConfig(port=8001), narrow)
    with pytest.raises(ServingError, match="speaks TLS, which cannot change"):
        require_same(ServingConfig(), Bound(host="127.0.0.1", port=8000, certified=True))


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "10.0.0.7"])
def test_proxies_that_listen_wider_than_loopback_need_a_token_and_tls(host):
    clear = Bound(host=host, port=8000)
    closed, open_ = ServingConfig(), ServingConfig(auth="none")
    tls = Bound(host=host, port=8000, certified=True)
    haproxy = Bound(host=host, port=8000, certified=True, haproxy=True)
    for config, bound, told in (
        (closed, clear, "without TLS"),
        (open_, clear, "without a token and TLS"),
        (open_, tls, "without a token"),
        (closed, haproxy, "without TLS"),
    ):
        with pytest.raises(ServingError) as error:
            require_bound(config, bound)
        for words in (
            f"http_options.host must be a loopback address {told},",
            f'it is "{host}"',
            "127.0.0.1",
            "set serving.insecure: true, in a Serve file in the application's args",
        ):
            assert words in str(error.value)
        assert ("RAY_SERVE_ENABLE_HA_PROXY=0" in str(error.value)) is bound.haproxy
        require_bound(config.model_copy(update={"insecure": True}), bound)
    require_bound(closed, tls)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", None])
def test_proxies_on_loopback_need_nothing(host):
    require_bound(ServingConfig(auth="none"), Bound(host=host, port=8000))
    require_bound(ServingConfig(), None)


def test_proxies_that_speak_grpc_need_leave():
    bound = Bound(host="127.0.0.1", port=8000, grpc_port=9000)
    with pytest.raises(ServingError, match=r"grpc_options .*9000.*clear text.*insecure: true"):
        require_bound(ServingConfig(), bound)
    require_bound(ServingConfig(insecure=True), bound)


def fake_serve(monkeypatch, *, proxies=(), **http):
    """Let a Serve be found that was told these options, on a Ray that does not run."""
    import ray

    from raymm.serving import deployment

    answers = SimpleNamespace(
        get_http_config=SimpleNamespace(remote=lambda: SimpleNamespace(**http)),
        get_grpc_config=SimpleNamespace(
            remote=lambda: SimpleNamespace(port=9000, grpc_servicer_functions=[])
        ),
    )
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_actor", lambda name, namespace: answers)
    monkeypatch.setattr(ray, "get", lambda asked, timeout: asked)
    monkeypatch.setattr(deployment, "_running", lambda: True)
    monkeypatch.setattr(deployment, "_proxies", lambda: list(proxies))
    return deployment


def test_serve_itself_is_asked_where_it_listens(monkeypatch):
    monkeypatch.delenv("RAY_SERVE_ENABLE_HA_PROXY", raising=False)
    deployment = fake_serve(monkeypatch, host="0.0.0.0", port=8123, ssl_certfile=None)
    assert deployment.listens() == Bound(host="0.0.0.0", port=8123)
    told = {"host": None, "port": 8123, "ssl_certfile": "cert.pem"}
    # Before a proxy runs, the environment tells which it will be; then they do themselves.
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
    for proxies, haproxy in (((), True), (("HAProxyManager",), True), (("ProxyActor",), False)):
        deployment = fake_serve(monkeypatch, proxies=proxies, **told)
        assert deployment.listens() == Bound(host=None, port=8123, certified=True, haproxy=haproxy)
    monkeypatch.setattr(deployment, "_running", lambda: False)
    assert deployment.listens() is None


def test_a_replica_looks_before_it_loads_anything(monkeypatch):
    deployment = fake_serve(monkeypatch, host="0.0.0.0", port=8000, ssl_certfile=None)
    config = ServingConfig().model_dump()
    how = {"config": config, "tokens": {"default": "secret"}, "opinion": None}
    with pytest.raises(ServingError, match=r"http_options\.host"):
        deployment._build(("m",), None, None, **how)

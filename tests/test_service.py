"""Services: their orders, their records, and who is asked."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest

from raymm import endpoint, served, service
from raymm.errors import ConfigError, NotFound, ServingError
from raymm.serving.tokens import LEAST
from raymm.sole import sole
from raymm.wishing import lock_of


def made(**changes):
    known = {"name": "loans", "url": "http://127.0.0.1:1", "token": "t", "storage": "s"}
    return endpoint.Service(**{**known, **changes})


def test_an_order_takes_the_runs_settings_and_the_changes(home):
    ordered = service.order("loans", str(home), changes={"serving.port": 9000})
    assert ordered.serving.port == 9000
    assert ordered.serving.max_rows == 10_000
    with pytest.raises(ConfigError, match="port"):
        service.order("loans", str(home), changes={"serving.prot": 1})
    with pytest.raises(NotFound, match="loans"):
        service.order("nobody", str(home))


def test_several_models_are_ordered_together(finished, home):
    ordered = service.order(["loans"], str(home), changes={"monitoring.window": 77})
    assert (ordered.names, ordered.monitoring.window) == (("loans",), 77)
    with pytest.raises(ConfigError, match="once"):
        service.order(["loans", "loans"], str(home))
    with pytest.raises(NotFound, match="other"):
        service.order(["loans", "other"], str(home))


def test_events_that_nothing_tells_are_known_while_no_loop_keeps_the_model(home):
    asked = {"monitoring.events.log": "events.jsonl"}
    ordered = service.order("loans", str(home), changes=asked)
    assert service.untold(ordered) == ("loans",)
    assert service.untold(service.order("loans", str(home))) == ()
    with sole(lock_of("loans"), "raymm keep of loans"):
        assert service.untold(ordered) == ()
    assert service.untold(ordered) == ("loans",)


def test_an_endpoint_is_joined_where_it_is(home):
    with pytest.raises(NotFound, match="raymm deploy loans"):
        service.joined("loans", "auto")
    pid = os.getpid()
    url = "http://127.0.0.2:8123/loans"
    endpoint.record(made(pid=pid, started=endpoint.started_at(pid), address="a:1", url=url))
    there = {"serving.port": 8123, "serving.host": "127.0.0.2"}
    assert service.joined("loans", "auto") == ("a:1", there)
    with pytest.raises(ConfigError, match="a:1"):
        service.joined("loans", "b:1")
    endpoint.path_of("loans").unlink()


def test_wider_than_loopback_needs_a_token_and_tls(home):
    ordered = service.order("loans", str(home), changes={"serving.host": "0.0.0.0"})
    with pytest.raises(ServingError, match="TLS"), service.serving(ordered):
        pass


def test_serve_deploy_needs_a_token_in_the_environment(home, monkeypatch):
    monkeypatch.delenv("RAYMM_TOKEN", raising=False)
    with pytest.raises(ServingError, match="RAYMM_TOKEN"):
        service.serve_application({"name": "loans", "storage": str(home)})


def test_serve_deploy_takes_the_environments_named_tokens(home, monkeypatch):
    monkeypatch.delenv("RAYMM_TOKEN", raising=False)
    monkeypatch.setenv("RAYMM_TOKENS", "ann: " + "a" * LEAST)
    monkeypatch.setattr(service, "_monitor", lambda ordered: None)
    monkeypatch.setattr(service, "application", lambda ordered, tokens: tokens)
    args = {"name": "loans", "storage": str(home)}
    # handed over, since a replica's own environment may have none
    assert service.serve_application(args) == {"ann": "a" * LEAST}
    assert service.serve_application({**args, "serving.auth": "none"}) == {}
    monkeypatch.setenv("RAYMM_TOKENS", " ")
    with pytest.raises(ServingError, match="needs a token"):
        service.serve_application(args)
    for none in ("# ann: none yet", ","):
        monkeypatch.setenv("RAYMM_TOKENS", none)
        with pytest.raises(ConfigError, match="RAYMM_TOKENS must hold a token"):
            service.serve_application(args)


def test_a_token_that_can_be_guessed_begins_nothing(home, monkeypatch):
    from raymm import cluster

    monkeypatch.setenv("RAYMM_TOKEN", "s" * (LEAST - 1))
    monkeypatch.setattr(service, "_monitor", lambda ordered: pytest.fail("begun"))
    monkeypatch.setattr(cluster, "connect", lambda *given, **how: pytest.fail("begun"))
    monkeypatch.setattr(subprocess, "Popen", lambda *given, **how: pytest.fail("begun"))
    ordered = service.order("loans", str(home))
    open_to_all = service.order("loans", str(home), changes={"serving.auth": "none"})
    with pytest.raises(ConfigError, match=r"RAYMM_TOKEN must have 16 .*openssl"):
        service.serve_application({"name": "loans", "storage": str(home)})
    with pytest.raises(ConfigError, match="RAYMM_TOKEN"), service.serving(ordered):
        pass
    with pytest.raises(ConfigError, match="RAYMM_TOKEN"):
        service.detach(ordered, {}, notify=pytest.fail)
    with pytest.raises(pytest.fail.Exception, match="begun"), service.serving(open_to_all):
        pass


def test_canaries_are_judged_by_labels_as_each_models_run_was_configured(home, monkeypatch):
    from raymm.serving import deployment

    made = []
    monkeypatch.setattr(deployment, "application", lambda *what, **how: made.append(how))
    changes = {"monitoring.trial.labels": 77, "monitoring.labels": 500}
    ordered = service.order("loans", str(home), changes=changes)
    other = ordered.monitoring.model_copy(update={"labels": 600})
    service.application(replace(ordered, beside={"other": other}), {})
    trials = made[0]["opinion"].trials
    assert {name: (one.labels, one.kept) for name, one in trials.items()} == {
        "loans": (77, 500),
        "other": (77, 600),
    }


def test_serve_deploy_takes_tokens_of_a_file_and_nothing_unsafe(home, monkeypatch):
    monkeypatch.delenv("RAYMM_TOKEN", raising=False)
    monkeypatch.setattr(service, "_monitor", lambda ordered: None)
    monkeypatch.setattr(service, "application", lambda ordered, tokens: (ordered, tokens))
    args = {"name": "loans", "storage": str(home), "serving.tokens": "/run/tokens"}
    ordered, tokens = service.serve_application(args)
    assert (ordered.serving.tokens, tokens) == ("/run/tokens", {})
    assert "deployed with this storage" in served.known("loans", str(home))
    (home / "served" / "loans.json").unlink()
    with pytest.raises(ServingError, match="without TLS"):
        service.serve_application({**args, "serving.host": "0.0.0.0"})


def test_serve_deploy_looks_where_serve_really_listens(home, monkeypatch):
    """What the Serve file says under http_options, which no key of raymm's tells."""
    from raymm.serving import deployment
    from raymm.serving.exposure import Bound

    secret = "s" * LEAST
    monkeypatch.setenv("RAYMM_TOKEN", secret)
    monkeypatch.setattr(deployment, "listens", lambda: Bound(host="0.0.0.0", port=8000))
    started = []
    monkeypatch.setattr(service, "_monitor", started.append)
    monkeypatch.setattr(service, "application", lambda ordered, tokens: tokens)
    args = {"name": "loans", "storage": str(home)}
    with pytest.raises(ServingError, match=r'http_options\.host .*without TLS, but it is "0'):
        service.serve_application(args)
    assert started == []
    assert service.serve_application({**args, "serving.insecure": True}) == {"default": secret}

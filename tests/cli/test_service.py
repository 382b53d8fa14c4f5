"""Commands about services, without one."""

from __future__ import annotations

import dataclasses
import json

import pytest
import yaml

from raymm import ending, endpoint, service
from raymm.cli import service as announcing

WIDE = ("host=0.0.0.0", "insecure=true")


def test_nothing_is_served_of_a_model_that_is_not_there(raymm, home):
    done = raymm("deploy", "nobody")
    assert (done.code, "loans" in done.err) == (6, True)


def test_wrong_settings_are_refused_before_anything_starts(raymm, home):
    done = raymm("deploy", "loans", "--set", "serving.prot=1")
    assert (done.code, '"port"' in done.err) == (2, True)


@pytest.mark.parametrize(
    ("setting", "code"), [("tokens=/absent/file", 2), ("host=0.0.0.0", 6)], ids=["file", "host"]
)
@pytest.mark.parametrize("more", [(), ("--detach",)], ids=["here", "detached"])
def test_what_is_refused_is_told_in_a_line_and_does_not_start(raymm, home, setting, code, more):
    done = raymm("deploy", "loans", "--set", f"serving.{setting}", *more)
    assert (done.code, len(done.err.splitlines()), "starting" in done.err) == (code, 1, False)


def test_keys_that_concern_a_run_are_refused(raymm, home):
    for command in (("deploy", "loans"), ("export", "serve", "loans")):
        done = raymm(*command, "--set", "search.trials=3")
        assert (done.code, "search.trials" in done.err) == (2, True)


def test_a_monitor_elsewhere_is_asked_at_its_address(raymm, home):
    done = raymm("monitor", "loans", "--url", "loopback:1")
    assert (done.code, "http://HOST" in done.err) == (6, True)
    done = raymm("monitor", "loans", "--url", "http://127.0.0.1:1", "--token", "t")
    assert (done.code, "127.0.0.1:1/v1/models/loans/monitor does not" in done.err) == (6, True)
    assert ("nothing listens there" in done.err, "urlopen" in done.err) == (True, False)


def test_settings_reach_the_exported_configuration(raymm, home):
    done = raymm("export", "serve", "loans", "--set", "serving.port=8123")
    document = yaml.safe_load(done.out)
    assert document["http_options"]["port"] == 8123
    assert document["applications"][0]["args"]["serving.port"] in (8123, "8123")


@pytest.mark.parametrize("asked", [True, False])
def test_that_nothing_tells_the_events_asked_for_is_said_in_a_line(
    home, monkeypatch, capsys, asked
):
    changes = {"monitoring.events.command": ["notify"]} if asked else {}
    ordered = service.order("loans", str(home), changes=changes)
    running = endpoint.Service(name="loans", url="http://127.0.0.1:1", token="t", storage="s")
    monkeypatch.setattr(endpoint, "ask", lambda found, path: {"example": {}})
    announcing._announce(ordered, running, False, foreground=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if "raymm keep" in line]
    assert [line.split()[0] for line in lines] == ["events"] * asked


def test_how_each_of_several_models_is_asked_watched_and_stopped_is_said(home, monkeypatch, capsys):
    ordered = service.order("loans", str(home))
    ordered = dataclasses.replace(ordered, beside={"other": ordered.monitoring})
    known = {"url": "http://127.0.0.1:1", "token": "t", "storage": "s"}
    running = endpoint.Service(name="loans", models=ordered.names, **known)
    asked = []
    monkeypatch.setattr(endpoint, "ask", lambda _, path: asked.append(path) or {"example": {}})
    champion = service.champion_of(ordered)
    monkeypatch.setattr(service, "champion_of", lambda *_: champion)
    announcing._announce(ordered, running, False, foreground=False)
    out = capsys.readouterr().out
    assert asked == ["/v1/models/loans", "/v1/models/other"]
    for one in ordered.names:
        assert f"http://127.0.0.1:1/v1/models/{one}/predict" in out
        assert f"raymm monitor {one}\n" in out
    assert "  stop           raymm stop loans other\n" in out


@pytest.mark.parametrize("haproxy", [True, False])
def test_what_haproxy_opens_to_every_interface_is_said(home, monkeypatch, capsys, haproxy):
    monkeypatch.setenv("RAY_SERVE_HAPROXY_STATS_PORT", "9404")
    monkeypatch.delenv("RAY_SERVE_HAPROXY_METRICS_PORT", raising=False)
    known = {"url": "http://127.0.0.1:1", "token": "t", "storage": "s"}
    running = endpoint.Service(name="loans", haproxy=haproxy, **known)
    monkeypatch.setattr(endpoint, "ask", lambda found, path: {"example": {}})
    announcing._announce(service.order("loans", str(home)), running, False, foreground=False)
    told = "on every interface, without a token: ports 9101 and 9404"
    assert (told in capsys.readouterr().out) == haproxy


def test_a_service_that_is_not_there_cannot_be_stopped_or_watched(raymm, home):
    for command in ("stop", "monitor"):
        done = raymm(command, "loans")
        assert (done.code, "raymm deploy loans" in done.err) == (6, True)


def test_what_is_served_no_more_is_shown_as_its_monitor_wrote_it_last(raymm, tmp_path, monkeypatch):
    from raymm.artifacts import ColumnStatistics, Statistics, as_record
    from raymm.monitoring.observer import Observer
    from raymm.sections import MonitoringConfig

    monkeypatch.setenv("RAYMM_HOME", str(tmp_path))
    column = ColumnStatistics(name="x", kind="number", rows=9, missing=0, distinct=9)
    path = tmp_path / "monitors" / "loans" / "raymm-monitor-loans.json"
    made = Observer("loans", config=MonitoringConfig(), path=path, clock=lambda: 60.0)
    made.watch(4, as_record(Statistics(rows=9, columns=(column,))))
    made.flush()
    known = {"name": "loans", "url": "http://127.0.0.1:1", "token": "t", "storage": ""}
    gone = endpoint.Service(pid=1, started=0.5, **known)
    joined = endpoint.Service(address="127.0.0.1:7", **known)
    for ended in (None, gone, joined):
        if ended is not None:
            endpoint.record(ended)
        done = raymm("monitor", "loans")
        head = "loans is not served now; what its monitor wrote last, at 1970-01-01 00:01:00 UTC"
        assert (done.code, done.out.startswith(head)) == (0, True)
        assert "loans version 4, watched since" in done.out
        told = json.loads(raymm("monitor", "loans", "--json").out)
        assert (told["served"], told["saved_at"], told["version"]) == (False, 60.0, 4)
    endpoint.record(dataclasses.replace(joined, address="10.0.0.1:7"))  # which may be out of reach
    assert raymm("monitor", "loans").code == 6


def test_what_a_monitor_left_is_sought_where_its_service_was_ordered(raymm, tmp_path, monkeypatch):
    from raymm import remembered

    monkeypatch.setenv("RAYMM_HOME", str(tmp_path))
    sought = []
    monkeypatch.setattr(remembered, "last_known", lambda *asked: sought.append(asked))
    elsewhere = str(tmp_path / "elsewhere")
    known = {"name": "loans", "url": "http://127.0.0.1:1", "token": "t", "storage": elsewhere}
    endpoint.record(endpoint.Service(pid=1, started=0.5, **known))
    for given in ((), ("--storage", str(tmp_path))):
        assert raymm("monitor", "loans", *given).code == 6
    assert sought == [("loans", elsewhere), ("loans", str(tmp_path))]


def test_the_serve_configuration_is_what_ray_reads(raymm, home):
    from ray.serve.schema import ServeDeploySchema

    done = raymm("export", "serve", "loans")
    document = yaml.safe_load(done.out)
    checked = ServeDeploySchema.model_validate(document)
    assert checked.applications[0].import_path == "raymm.service:serve_application"
    told = {"name": "loans", "storage": str(home), "serving.insecure": False}
    assert document["applications"][0]["args"] == told
    assert document["http_options"]["host"] == "127.0.0.1"
    leave = raymm("export", "serve", "loans", *(f"--set=serving.{one}" for one in WIDE)).out
    assert leave.startswith("# Serve listens where")
    document = yaml.safe_load(leave)
    assert document["http_options"]["host"] == "0.0.0.0"
    assert document["applications"][0]["args"]["serving.insecure"] is True


def test_the_exported_graph_runs_in_plain_onnxruntime(raymm, home, tmp_path):
    import numpy as np
    import onnxruntime

    path = tmp_path / "loans.onnx"
    assert raymm("export", "onnx", "loans", "-o", path).code == 0
    session = onnxruntime.InferenceSession(path.read_bytes())
    values = {
        "tensor(float)": np.ones((2, 1), np.float32),
        "tensor(int64)": np.ones((2, 1), np.int64),
        "tensor(string)": np.array([["Oslo"], [""]], dtype=object),
    }
    feed = {one.name: values[one.type] for one in session.get_inputs()}
    probabilities = session.run(["probabilities"], feed)[0]
    assert probabilities.shape == (2, 2)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_an_exported_graph_says_which_column_each_input_is(raymm, home, tmp_path):
    import onnx

    from raymm.bundle.packed import Bundle
    from raymm.registry.versions import Registry

    path = tmp_path / "loans.onnx"
    done = raymm("export", "onnx", "loans@2", "-o", path)
    assert done.err == ""
    told = {one.key: one.value for one in onnx.load(path).metadata_props}
    columns = [one.name for one in onnx.load(path).graph.input]
    assert json.loads(told["raymm.inputs"]) == dict(zip(columns, columns, strict=True))
    assert (told["raymm.model"], told["raymm.target"]) == ("loans@2", "approved")
    registry = Registry(str(home))
    bundle = Bundle.from_bytes(registry.bundle(registry.champion("loans")))
    odd = tuple(
        dataclasses.replace(one, name=one.name + " é") if one.role == "feature" else one
        for one in bundle.schema.columns
    )
    named = dataclasses.replace(bundle, schema=dataclasses.replace(bundle.schema, columns=odd))
    (tmp_path / "odd.raymm").write_bytes(named.to_bytes())
    done = raymm("export", "onnx", tmp_path / "odd.raymm", "-o", path)
    some = ", ".join(f'{one} is "{one} é"' for one in columns[:5])
    note = f"note  {len(columns)} inputs of the graph had to be called otherwise than the column: "
    assert done.err.startswith(note + some)
    told = {one.key: one.value for one in onnx.load(path).metadata_props}
    assert json.loads(told["raymm.inputs"]) == {one: f"{one} é" for one in columns}


def test_stopping_names_all_that_ends(raymm, home, monkeypatch):
    known = {"url": "http://127.0.0.1:1", "token": "t", "storage": "s"}
    found = endpoint.Service(name="loans", models=("loans", "other"), **known)
    endpoint.record(found)
    monkeypatch.setattr(ending, "alive", lambda _: True)
    monkeypatch.setattr(ending, "_end", lambda _: None)
    refused = raymm("stop", "loans")
    assert (refused.code, "raymm stop loans other" in refused.err) == (6, True)
    done = raymm("stop", "loans", "other")
    assert done.out == "loans and other no longer served at http://127.0.0.1:1\n"
    told = json.loads(raymm("stop", "other", "loans", "--json").out)
    assert (told["stopped"], told["models"]) == (True, ["loans", "other"])
    for name in found.models:
        endpoint.path_of(name).unlink()


EXPORTS = {"serve": "service of loans", "onnx": "loans version 2"}


@pytest.mark.parametrize("kind", EXPORTS)
def test_an_export_says_where_it_is(raymm, home, tmp_path, kind):
    path = tmp_path / "made"
    done = raymm("export", kind, "loans", "-o", path)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{EXPORTS[kind]} written to {path}\n"


@pytest.mark.parametrize("kind", EXPORTS)
def test_an_export_is_alone_in_the_output(home, tmp_path, capsysbinary, kind):
    from raymm.cli import main

    for output in (str(tmp_path / "made"), "-"):
        capsysbinary.readouterr()
        with pytest.raises(SystemExit):
            main(["export", kind, "loans", "-o", output])
    assert capsysbinary.readouterr().out == (tmp_path / "made").read_bytes()


def test_help_names_every_command(raymm):
    out = raymm("--help").out
    for name in ("run", "demo", "validate", "tune", "deploy", "monitor", "rollback", "fsck"):
        assert f"\n  {name} " in out
    assert json.dumps(out)


def test_an_unsafe_configuration_is_not_exported(raymm, home):
    for unsafe in ("host=0.0.0.0", "grpc_port=9123"):
        done = raymm("export", "serve", "loans", f"--set=serving.{unsafe}")
        assert (done.code != 0, "serving.insecure: true" in done.err, done.out) == (True, True, "")


def test_tls_and_grpc_reach_the_exported_configuration(raymm, home):
    from ray.serve.schema import ServeDeploySchema

    settings = ("certificate=/c.pem", "key=/k.pem", "grpc_port=9123", "insecure=true")
    done = raymm("export", "serve", "loans", *(f"--set=serving.{one}" for one in settings))
    checked = ServeDeploySchema.model_validate(yaml.safe_load(done.out))
    assert (checked.http_options.ssl_certfile, checked.http_options.ssl_keyfile) == (
        "/c.pem",
        "/k.pem",
    )
    assert checked.grpc_options.port == 9123
    (name,) = checked.grpc_options.grpc_servicer_functions
    module, _, function = name.rpartition(".")
    assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_the_exported_configuration_names_files_that_any_folder_finds(
    raymm, home, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    settings = ("tokens=tokens", "certificate=c.pem", "key=tls/k.pem")
    called = ("export", "serve", "loans", *(f"--set=serving.{one}" for one in settings))
    done = raymm(*called)
    document = yaml.safe_load(done.out)
    paths = [str(tmp_path / name) for name in ("tokens", "c.pem", "tls/k.pem")]
    arguments = document["applications"][0]["args"]
    assert [arguments[f"serving.{key}"] for key in ("tokens", "certificate", "key")] == paths
    assert [document["http_options"][f"ssl_{key}file"] for key in ("cert", "key")] == paths[1:]
    lines = done.err.splitlines()  # they may be mounted where the service runs
    assert [paths[1] in lines[0], paths[0] in lines[1], len(lines)] == [True, True, 2]
    (tmp_path / "tokens").write_text(f"alice: {'s' * 32}\n")
    assert [paths[1] in line for line in raymm(*called).err.splitlines()] == [True]


@pytest.mark.parametrize("given", ["", "s" * 32])
def test_that_a_token_is_new_at_each_start_is_said_where_none_is_given(
    home, monkeypatch, capsys, given
):
    monkeypatch.setenv("RAYMM_TOKEN", given)
    running = endpoint.Service(name="loans", url="http://127.0.0.1:1", token="t", storage="s")
    monkeypatch.setattr(endpoint, "ask", lambda found, path: {"example": {}})
    for changes in ({}, {"serving.tokens": "/run/tokens"}):
        ordered = service.order("loans", str(home), changes=changes)
        announcing._announce(ordered, running, False, foreground=True)
        told = "RAYMM_TOKEN keeps one; those of serving.tokens stay valid"
        assert (told in capsys.readouterr().out) == (not given)

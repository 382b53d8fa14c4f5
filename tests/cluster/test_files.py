"""The cluster files, against Ray's own validators and the shape of KubeRay's resources."""

import importlib.metadata
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from raymm import prediction, service
from raymm.cli import watching
from raymm.cli.options import changes
from raymm.cluster import ENVIRONMENT
from raymm.config import parse
from raymm.monitoring import news
from raymm.serving.exposure import loopback
from raymm.serving.scaling import options
from raymm.serving.telemetry import FEATURE_FIGURES

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
KUBERAY = ("raycluster", "rayjob", "rayservice")


def _yaml(path):
    return yaml.safe_load((CLUSTER / path).read_text())


def _cluster_spec(document):
    spec = document["spec"]
    return spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec


def test_aws_passes_rays_validator():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(_yaml("cloud/aws.yaml"))
    validate_config(config)
    kinds = config["available_node_types"]
    assert config["head_node_type"] in kinds
    spot = kinds["spot"]["node_config"]["InstanceMarketOptions"]["MarketType"]
    assert spot == "spot"
    assert kinds["spot"]["max_workers"] <= config["max_workers"]


def test_aws_nodes_install_what_is_here_in_its_pinned_versions():
    config = _yaml("cloud/aws.yaml")
    # the Python of Ray's own image is older than raymm's
    assert all("ImageId" in kind["node_config"] for kind in config["available_node_types"].values())
    mounts = config["file_mounts"]
    assert all((ROOT / local).exists() for local in mounts.values())
    (line,) = [line for line in config["setup_commands"] if "pip install" in line]
    given = shlex.split(line)[shlex.split(line).index("install") + 1 :]
    assert given == ["-c", "~/raymm-source/constraints.txt", "~/raymm-source", "boto3"]
    # the build finds all that it reads
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    read = {project["project"]["readme"], *project["project"]["license-files"]}
    read |= {"pyproject.toml", "constraints.txt"}
    read |= set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert mounts == {f"~/raymm-source/{path}": path for path in read}


def test_no_file_asks_an_index_for_raymm():
    for path in CLUSTER.rglob("*.*"):
        assert not re.search(r"pip install[^\n`]*\sraymm\b(?![/-])", path.read_text()), path


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_shape(name):
    document = _yaml(f"kuberay/{name}.yaml")
    assert document["apiVersion"] == "ray.io/v1"
    assert document["kind"].lower() == name
    # names are DNS labels, and KubeRay adds suffixes of up to 16 characters
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,45}[a-z0-9])?", document["metadata"]["name"])
    spec = _cluster_spec(document)
    assert spec["rayVersion"] in SpecifierSet(_ray_requirement())
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    assert f"ray=={spec['rayVersion']}" in pinned  # the image is made with them
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        # every value of rayStartParams is text, or the API server refuses it
        assert all(type(value) is str for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        for container in pod["containers"]:
            assert container["name"] in {"ray-head", "ray-worker"}
            assert container["image"]
            for kind in ("requests", "limits"):
                assert set(container["resources"][kind]) >= {"cpu", "memory"}
            mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
            assert mounted == {volume["name"] for volume in pod.get("volumes", ())}
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    names = [group["groupName"] for group in spec["workerGroupSpecs"]]
    assert len(set(names)) == len(names)


def _ray_requirement():
    found = [r for r in importlib.metadata.requires("raymm") or () if r.startswith("ray[")]
    return found[0].split("]")[1].split(";")[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", KUBERAY)
def test_start_parameters_are_rays_options(name):
    spec = _cluster_spec(_yaml(f"kuberay/{name}.yaml"))
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        for option in group["rayStartParams"]:
            assert f"--{option}" in _start_options()


def _start_options():
    from ray.scripts.scripts import start

    return {option for parameter in start.params for option in parameter.opts}


def test_the_service_is_a_valid_serve_configuration(monkeypatch):
    from ray.serve.schema import ServeDeploySchema

    document = _yaml("kuberay/rayservice.yaml")
    config = ServeDeploySchema.model_validate(yaml.safe_load(document["spec"]["serveConfigV2"]))
    (application,) = config.applications
    assert application.import_path == "raymm.service:serve_application"
    settings = {"serving.insecure", "serving.replicas"}
    assert set(application.args) == {"name", "storage"} | settings
    # it listens to more than its pod, in clear text, and says so
    assert not loopback(config.http_options.host)
    assert application.args["serving.insecure"] is True
    # what the file says of a deployment would win over serving.*, which remedies name
    assert not application.deployments
    said = {key: application.args[key] for key in settings}
    champion = SimpleNamespace(summary={"settings": {"serving": {"replicas": {"max": 2}}}})
    monkeypatch.setattr(prediction, "champion", lambda *_: champion)
    made = options(service.order("churn", application.args["storage"], changes=said).serving)
    scaled = made["autoscaling_config"]
    assert (scaled["min_replicas"], scaled["max_replicas"]) == (1, 8)
    assert scaled["target_ongoing_requests"] == 8
    assert made["max_queued_requests"] == made["max_ongoing_requests"] == 200


def test_the_job_runs_a_command_that_exists():
    words = shlex.split(_yaml("kuberay/rayjob.yaml")["spec"]["entrypoint"])
    assert words[:2] == ["raymm", "run"]


def test_the_loop_keeps_the_model_of_the_service():
    spec = _yaml("kuberay/keep.yaml")["spec"]
    assert spec["template"]["metadata"]["labels"].items() >= spec["selector"]["matchLabels"].items()
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    raymm, keep, *words = container["command"]
    assert (raymm, keep) == ("raymm", watching.keep.name)
    given = watching.keep.make_context(keep, words).params
    parse({"data": {"source": given["source"], "target": "-"}}, changes({}, given["settings"]))
    service = _yaml("kuberay/rayservice.yaml")
    serve = yaml.safe_load(service["spec"]["serveConfigV2"])
    (application,) = serve["applications"]
    assert given["name"] == application["args"]["name"]
    # KubeRay's name of what answers for the service
    host = f"{service['metadata']['name']}-serve-svc"
    assert given["url"] == f"http://{host}:{serve['http_options']['port']}"
    # the same token, storage and image
    (head,) = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert (container["envFrom"], container["image"]) == (head["envFrom"], head["image"])
    assert container["env"] == [{"name": "RAYMM_HOME", "value": application["args"]["storage"]}]
    assert {one["name"] for one in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}


@pytest.mark.parametrize("path", ["local.sh", "cloud/aws.yaml"])
def test_ray_start_is_given_options_it_has(path):
    text = (CLUSTER / path).read_text().replace("\\\n", " ")
    given = re.findall(r"(--[a-z-]+)", " ".join(re.findall(r"ray start ([^#;]*)", text)))
    assert {"--head", "--disable-usage-stats"} <= set(given)
    assert set(given) <= _start_options()


def test_the_local_cluster_keeps_to_loopback():
    text = (CLUSTER / "local.sh").read_text()
    hosts = re.findall(r"--(?:node-ip-address|dashboard-host)=(\S+)", text)
    assert hosts == ["127.0.0.2", "127.0.0.1"]
    ports = [int(port) for port in re.findall(r"-port=(\d+)", text)]
    assert len(set(ports)) == len(ports) == 11
    assert "RAY_AUTH_MODE" in text


SERVING = {
    key: value
    for key, value in ENVIRONMENT.items()
    # these two suit one machine, which is known
    if key.startswith("RAY_SERVE_")
    and key not in {"RAY_SERVE_HAPROXY_NBTHREAD", "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"}
}


def _told(command, home):
    """What a command prints with no more of the environment than a home and a path."""
    plain = {"HOME": str(home), "PATH": f"{home}:/usr/bin:/bin"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=plain)
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines())


def test_the_local_cluster_serves_as_raymm_does(tmp_path):
    (tmp_path / "ray").write_text("#!/bin/sh\nenv\n")
    (tmp_path / "ray").chmod(0o755)
    assert SERVING.items() <= _told(["sh", str(CLUSTER / "local.sh")], tmp_path).items()


def test_the_cluster_on_aws_serves_as_raymm_does(tmp_path):
    for line in _yaml("cloud/aws.yaml")["setup_commands"]:
        if line.startswith("echo "):
            _told(["bash", "-c", line], tmp_path)
    assert SERVING.items() <= _told(["bash", "-c", ". ~/.bashrc; env"], tmp_path).items()


@pytest.mark.parametrize("name", ["raycluster", "rayservice"])
def test_clusters_on_kubernetes_serve_as_raymm_does(name):
    spec = _cluster_spec(_yaml(f"kuberay/{name}.yaml"))
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        told = {one["name"]: one["value"] for one in container["env"]}
        assert SERVING.items() <= told.items()


def test_prometheus_looks_where_the_local_cluster_tells():
    jobs = {one["job_name"]: one for one in _yaml("prometheus.yml")["scrape_configs"]}
    (port,) = re.findall(r"--metrics-export-port=(\d+)", (CLUSTER / "local.sh").read_text())
    assert jobs["ray"]["static_configs"] == [{"targets": [f"127.0.0.1:{port}"]}]
    # nothing but the file of the comment holds a secret
    assert jobs["raymm"]["authorization"] == {"credentials_file": "raymm.token"}


def _metric_names():
    from raymm.serving.telemetry import Telemetry

    telemetry = Telemetry()
    telemetry.answered("m", 1, 1, 0.1)
    telemetry.failed("m", 1, "InputError")
    quality = {"value": 1, "low": 1, "high": 1, "n": 1, "coverage": 1, "waiting": 1, "thinned": 1}
    quality |= {"recent": {"value": 1, "low": 1, "high": 1}, "direction": "maximize"}
    quality |= {"delay": {"p50": 1}}
    ends = {"value": 1, "low": 1, "high": 1, "worse": True}
    quality |= {"calibration": {**ends, "recent": {"value": 1}, "test": {"value": 1}}}
    version = {"quality": quality, "estimated": {"accuracy": {"value": 1}}, "drifted": []}
    version |= {"prediction": {"drifted": True}}
    version |= {"requests": 1, "errors": {"Exception": 1}, "latency": {"within": {"0": 1}}}
    feature = {"statistic": 0.3, "threshold": 0.2, "drifted": True, "missing": 0.1, "unseen": 0.0}
    report = {"drift": 1, "age": 1, "versions": {"1": version}, "features": {"age": feature}}
    text = telemetry.text({"m": 1}, {"m": report}).decode()
    return set(re.findall(r"^(raymm_\w+)", text, re.MULTILINE))


def test_alerts_of_quality_and_drift_do_not_fire_by_chance():
    rules = {
        rule["alert"]: " ".join(rule["expr"].split())
        for group in _yaml("alerts.yml")["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    quality = rules["RaymmQualityFell"]
    # The bounds of `raymm.monitoring.news`: the last window is worse by twice the reach of both.
    assert f"{news._SURE:g} * sqrt(" in quality
    assert f"raymm_quality_rows >= {news.LEAST_ROWS} and" in quality
    for name in rules.keys() - {"RaymmServiceDown", "RaymmMonitorAway"}:
        assert "raymm_version_champion == 1" in rules[name]
    # Each replica counts its own requests, and another one answers each scrape.
    assert not re.search(r"raymm_(requests|rows|errors|request_seconds)_", str(rules))


def test_no_panel_lies_over_another():
    panels = json.loads((CLUSTER / "grafana/raymm.json").read_text())["panels"]
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24  # columns of a dashboard
    assert len({panel["id"] for panel in panels}) == len(panels)


def _queries():
    panels = json.loads((CLUSTER / "grafana/raymm.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_the_dashboard_shows_the_drift_of_features_though_there_are_many():
    queries = [query for query in _queries() if "raymm_feature_" in query]
    shown = set(re.findall(r"raymm_feature_\w+", " ".join(queries)))
    assert shown == {f"raymm_feature_{key}" for key in FEATURE_FIGURES}
    assert all(query.startswith("topk by (model) (10, ") for query in queries)


def test_the_dashboard_asks_for_what_it_uses():
    text = (CLUSTER / "grafana/raymm.json").read_text()
    listed = {variable["name"] for variable in json.loads(text)["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", text)) == listed


def test_dashboard_and_alerts_use_figures_that_exist():
    queries = _queries()
    rules = [rule for group in _yaml("alerts.yml")["groups"] for rule in group["rules"]]
    for query in (*queries, *(rule["expr"] for rule in rules)):
        named = set(re.findall(r"raymm_\w+", query))
        assert named <= _metric_names()
        assert named or "up{" in query
    assert len({rule["alert"] for rule in rules}) == len(rules)
    assert _yaml("prometheus.yml")["rule_files"] == ["alerts.yml"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_takes_the_rules():
    command = ["promtool", "check", "rules", str(CLUSTER / "alerts.yml")]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_takes_the_dashboards_queries(tmp_path):
    rules = [{"record": f"panel:{at}", "expr": query} for at, query in enumerate(_queries())]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    command = ["promtool", "check", "rules", str(tmp_path / "rules.yml")]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_alerts_fire_for_the_champion_alone():
    command = ["promtool", "test", "rules", str(Path(__file__).parent / "alerts_test.yml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

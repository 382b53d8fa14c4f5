"""The one typed configuration: a YAML file, command-line options and ``--set key=value``.

Everything but ``data.source`` and ``data.target`` has a default. An unknown key is an error that
names the nearest valid one.

>>> config = parse({"data": {"source": "churn.csv", "target": "Churn"}, "search": {"time": "3m"}})
>>> config.name, config.search.time
('churn', 180.0)
>>> parse({"data": {"source": "a.csv", "target": "y"}, "serch": {}})
Traceback (most recent call last):
    ...
raymm.errors.ConfigError: "serch" is not a key of the configuration. Did you mean "search"?
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from raymm import rules
from raymm.durations import seconds
from raymm.errors import ConfigError

_DECIDING = {"algorithm", "families", "scheduler", "min_budget", "max_budget"}
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"


Duration = Annotated[float | None, BeforeValidator(seconds)]
_Off = BeforeValidator(lambda value: "off" if value is False else value)  # as YAML reads it
AutoOrOff = Annotated[Literal["auto", "off"], _Off]


def _words(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
"""Names; one alone needs no brackets."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Section):
    """Upper limits that the served bundle must keep; None is no limit."""

    latency_p99_ms: float | None = Field(default=None, gt=0)
    bundle_mb: float | None = Field(default=None, gt=0)


class Goal(_Section):
    """What a good model is.

    ``metric`` "auto" is roc_auc for two classes, accuracy for more, rmse for numbers.
    ``at_least`` is the bound a model must reach: a floor for metrics that grow with quality, a
    ceiling for errors such as rmse. ``confidence`` is that of the statements in a blessing.
    ``protected`` names columns whose groups the audit compares. Where validation rows show that it
    pays, ``calibration`` mends probabilities, and ``decision`` weighs labels for the metric.
    """

    metric: str = "auto"
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    limits: Limits = Limits()
    protected: Words = ()
    calibration: AutoOrOff = "auto"
    decision: AutoOrOff = "auto"


class DataConfig(_Section):
    """Where the table is and how it is split.

    ``source`` is a file, folder, glob or URL. ``test`` is the share of rows kept for the final
    evaluation. ``positive`` names the positive class of a binary target. ``schema`` is a schema
    file written by ``raymm validate``.
    """

    source: str
    target: str
    task: Literal["auto", "binary", "multiclass", "regression"] = "auto"
    positive: str | None = None
    time: str | None = None
    group: str | None = None
    exclude: Words = ()
    test: float = Field(default=0.2, gt=0, lt=0.9)
    schema_file: str | None = Field(default=None, alias="schema")


class SearchConfig(_Section):
    """How configurations are tried.

    With ``trials`` given and no ``time`` there is no time limit; with neither, 100 trials or ten
    minutes end the search, whichever comes first. ``compute`` is CPU time of all trials together;
    ``plateau`` so many trials no better than the best by more than noise ("auto": 30, or three a
    parameter). ``parallel`` "auto" is one trial a CPU; each gets ``cpus`` and ``gpus``. A trial
    whose worker died begins again ``max_failures`` times. ``min_budget`` and ``max_budget`` are
    for algorithms that plan budgets. ``warm`` "auto" begins with what earlier runs of the name
    found. Of runners, "auto" is "actors", raymm's own pool.
    ``ensemble`` mixes so many trials at most, "auto" up to five, where validation rows show that it
    pays and the limits are kept; weighing them may take ``ensemble_share`` of the search's time.
    """

    algorithm: str = "auto"
    families: Literal["auto"] | Words = "auto"
    trials: int | None = Field(default=None, ge=1)
    time: Duration = None
    compute: Duration = None
    plateau: Literal["auto", "none"] | Annotated[int, Field(ge=1)] = "none"
    parallel: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    cpus: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    gpus: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    trial_timeout: Duration = None
    max_failures: int = Field(default=2, ge=0)
    scheduler: Literal["auto", "asha", "median", "none"] = "auto"
    min_budget: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_budget: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    warm: Literal["auto", "none"] = "auto"
    runner: Literal["auto", "actors", "tune"] = "auto"
    ensemble: AutoOrOff | Annotated[int, Field(ge=1)] = "auto"
    ensemble_share: float = Field(default=0.2, gt=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _budget(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("trials") is value.get("time") is None:
            return {**value, "trials": 100, "time": 600.0}
        return value

    @model_validator(mode="after")
    def _ordered(self) -> SearchConfig:
        low, high = self.min_budget, self.max_budget
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_budget must be at most max_budget, but got {low} and {high}")
        return self

    def budget(self) -> tuple[int | None, float | None]:
        """Return the limits in trials and in seconds; one at least is given."""
        return self.trials, self.time


class CompressionConfig(_Section):
    """``max_loss`` is the loss of the goal's metric allowed on validation rows: a share of the
    metric's value for errors such as rmse, an absolute difference for metrics in [0, 1].
    """

    max_loss: float = Field(default=0.0005, ge=0)
    techniques: Literal["auto"] | Words = "auto"


class Replicas(_Section):
    """Bounds of autoscaling."""

    min: int = Field(default=1, ge=1)
    max: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Replicas:
        if self.max < self.min:
            raise ValueError(f"max must be at least min, but got min={self.min}, max={self.max}")
        return self


class ServingConfig(_Section):
    """How the service listens and what it accepts; ``poll`` is how often a replica looks for a
    newly promoted version, in seconds.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    replicas: Replicas = Replicas()
    max_body_kb: int = Field(default=1024, ge=1)
    max_rows: int = Field(default=10_000, ge=1)
    max_queued: int = Field(default=200, ge=1)
    auth: Literal["token", "none"] = "token"
    poll: Duration = 2.0


class MonitoringConfig(_Section):
    """``window`` rows are compared with the reference at a time; ``false_alarms_per_day`` is
    what a person accepts of them when nothing has changed, over all features together.
    """

    false_alarms_per_day: float = Field(default=0.01, gt=0)
    window: int = Field(default=1000, ge=50)
    flush: Duration = 5.0
    retrain: Annotated[Literal["off", "drift"], _Off] = "off"


class RayConfig(_Section):
    """``address``: "auto" joins a cluster that is there (RAY_ADDRESS, or inside a job) and else
    starts one here; "local" always starts one; else an address.
    """

    address: str = "auto"
    cpus: int | None = Field(default=None, ge=1)


def default_storage() -> str:
    """Return ``RAYMM_HOME`` where it is set, else ``~/.raymm``, as an absolute path or a URL."""
    return _absolute(os.environ.get("RAYMM_HOME") or "~/.raymm")


def home_folder() -> Path:
    """Return the folder of what stays on this machine: that of RAYMM_HOME, else ``~/.raymm``."""
    home = default_storage()
    return Path(_absolute("~/.raymm") if "://" in home else home)


def _absolute(storage: str) -> str:
    return storage if "://" in storage else os.path.abspath(os.path.expanduser(storage))


class RunConfig(_Section):
    """The whole configuration. ``seed`` decides every random choice."""

    name: str = Field(pattern=NAME_PATTERN)
    data: DataConfig
    goal: Goal = Goal()
    search: SearchConfig = Field(default_factory=lambda: SearchConfig(trials=100, time=600.0))
    compression: CompressionConfig = CompressionConfig()
    serving: ServingConfig = ServingConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    ray: RayConfig = RayConfig()
    storage: str = Field(default_factory=default_storage)
    seed: int = Field(default=0, ge=0, lt=2**31)

    @field_validator("storage")
    @classmethod
    def _placed(cls, value: str) -> str:
        return _absolute(value)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        data = value.get("data") if isinstance(value, Mapping) else None
        source = data.get("source") if isinstance(data, Mapping) else None
        if isinstance(source, str) and not value.get("name"):
            return {**value, "name": name_for(source)}
        return value

    def run_id(self, data_sha256: str) -> str:
        """Return the run's name: its model's name and the hash of what decides its results.

        Budgets, parallelism, storage, serving and Ray do not count, so that a run can be
        continued with a larger budget or elsewhere.
        """
        chosen: Any = {"name", "seed", "data"}
        chosen = dict.fromkeys(chosen, True) | {"goal": {"metric"}, "search": _DECIDING}
        deciding = self.model_dump(mode="json", by_alias=True, include=chosen)
        for key in ("min_budget", "max_budget"):
            if deciding["search"][key] is None:
                del deciding["search"][key]
        deciding["data"]["source"] = data_sha256
        if self.data.schema_file is not None:
            # An edited schema makes other results, wherever the file lies.
            content = Path(self.data.schema_file).read_bytes()
            deciding["data"]["schema"] = hashlib.sha256(content).hexdigest()
        text = json.dumps(deciding, sort_keys=True)
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def name_for(source: str) -> str:
    """Return a model name made of a source's last part.

    >>> name_for("s3://bucket/My Table.csv.gz"), name_for("*.csv")
    ('my-table', 'model')
    """
    stem = source.rstrip("/").rsplit("/", 1)[-1].split(".")[0].lower()
    return re.sub(r"[^a-z0-9]+", "-", stem).strip("-")[:63] or "model"


def load(path: str | Path, changes: Mapping[str, Any] | None = None) -> RunConfig:
    """Read a configuration file and apply changes to it.

    Parameters
    ----------
    path : str or Path
        A YAML file.
    changes : mapping of dotted key to value
        As from ``--set search.trials=20``; text is read as YAML, except for keys that hold text,
        so that a column may be called 2015 or Yes.

    Raises
    ------
    ConfigError
        When the file cannot be read, is not a YAML mapping, or breaks a rule.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a configuration file: {error}") from error
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} must hold a mapping with a data section, but it does not.")
    return parse(raw, changes)


def parse(raw: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> RunConfig:
    """Check a configuration given as a mapping; `load` says what ``changes`` are.

    Raises
    ------
    ConfigError
        When a key is unknown or a value breaks a rule; all of them are told.
    """
    merged = json.loads(json.dumps(raw, default=str))
    for key, value in (changes or {}).items():
        _set(merged, key, value)
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise ConfigError("\n".join(dict.fromkeys(_told(error.errors())))) from error


def _set(merged: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    place = merged
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise ConfigError(f'"{key}" cannot be set: "{section}" holds a value, not a section.')
    if isinstance(value, str) and not _keeps_text(sections, last, value):
        with contextlib.suppress(yaml.YAMLError):
            value = yaml.safe_load(value) if value else value
        if value is not None and not isinstance(value, str | int | float | bool | list | dict):
            value = str(value)
    place[last] = value


def _keeps_text(sections: list[str], last: str, value: str) -> bool:
    """Whether a change's text is the value itself: not quoted, and not null where that may be."""
    fields = {info.alias or name: info for name, info in _model(sections).model_fields.items()}
    kind = fields[last].annotation if last in fields else None
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    if quoted or (kind == str | None and value in ("null", "~")):
        return False
    return kind is str or kind == str | None


def _model(path: Sequence[str | int]) -> type[BaseModel]:
    """Return the section that a path leads to, as far as there is one."""
    model: type[BaseModel] = RunConfig
    for part in path:
        if not isinstance(part, str):
            continue
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return model


def _told(errors: Sequence[Any]) -> Iterator[str]:
    """Yield a sentence for each key that breaks a rule."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for item in errors:
        path = tuple(item["loc"])
        dotted = ".".join(str(part) for part in path if not _is_branch(part))
        if item["type"] == "extra_forbidden":
            keys = [info.alias or name for name, info in _model(path[:-1]).model_fields.items()]
            near = difflib.get_close_matches(str(path[-1]), keys, n=1)
            hint = f'Did you mean "{near[0]}"?' if near else f"Known keys: {', '.join(keys)}."
            yield f'"{dotted}" is not a key of the configuration. {hint}'
        elif item["type"] == "missing":
            yield f"{dotted} is required. Set it in the configuration file."
        else:
            found.setdefault(dotted, []).append(item)
    yield from (rules.sentence(dotted, items) for dotted, items in found.items())


def _is_branch(part: str | int) -> bool:
    kinds = ("int", "tuple", "float", "constrained-int")
    return isinstance(part, str) and ("[" in part or part in kinds)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file, for editors."""
    return RunConfig.model_json_schema(by_alias=True)

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
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from raymm import rules
from raymm.errors import ConfigError
from raymm.sections import (
    CompressionConfig,
    DataConfig,
    Goal,
    MonitoringConfig,
    RayConfig,
    SearchConfig,
    Section,
    ServingConfig,
)

_DECIDING = {"algorithm", "families", "scheduler", "min_budget", "max_budget"}
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"


def default_storage() -> str:
    """Return ``RAYMM_HOME`` where it is set, else ``~/.raymm``, as an absolute path or a URL."""
    return _absolute(os.environ.get("RAYMM_HOME") or "~/.raymm")


def home_folder() -> Path:
    """Return the folder of what stays on this machine: that of RAYMM_HOME, else ``~/.raymm``."""
    home = default_storage()
    return Path(_absolute("~/.raymm") if "://" in home else home)


def _absolute(storage: str) -> str:
    return storage if "://" in storage else os.path.abspath(os.path.expanduser(storage))


class RunConfig(Section):
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
        for key in ("encoding", "delimiter"):  # the hash is of what was read by them
            del deciding["data"][key]
        for key in ("rows", "select", "interactions"):
            if deciding["data"][key] == "auto":
                del deciding["data"][key]
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
            # What is wrong in one kind that a key may hold is told with the other kinds.
            key = itertools.takewhile(lambda part: not _is_branch(part), path)
            found.setdefault(".".join(map(str, key)), []).append(item)
    yield from (rules.sentence(dotted, items) for dotted, items in found.items())


def _is_branch(part: str | int) -> bool:
    kinds = ("int", "tuple", "float", "constrained-int")
    return isinstance(part, str) and ("[" in part or part in kinds)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file, for editors."""
    return RunConfig.model_json_schema(by_alias=True)


def reference() -> str:
    """Return a page of Markdown that names every key, what it may be and what it is unless said."""
    schema = json_schema()
    parts = [
        "# Configuration",
        "Every key of the file that `raymm run FILE.yaml` reads; `--set KEY=VALUE` says one on the "
        "command line, such as `--set search.trials=50`. Times are seconds, or such as 90s, 10m, "
        "2h or 30d. [raymm.schema.json](raymm.schema.json) is the same for editors.",
    ]
    return "\n\n".join([*parts, *_pages(schema, schema["$defs"], "")]) + "\n"


def _pages(section: Mapping[str, Any], known: Mapping[str, Any], path: str) -> list[str]:
    """Return the heading, the words and the table of a section, then those of its own sections."""
    rows, below = [], []
    for key, one in section["properties"].items():
        inner = _section(one, known)
        if inner is not None:
            below += _pages(inner, known, f"{path}{key}.")
        if inner is None or "anyOf" in one:
            needed = key in section.get("required", ())
            default = "" if needed else json.dumps(one.get("default"))
            rows.append(f"| `{path}{key}` | {_kind(one)} | {default and f'`{default}`'} |")
    head = ["| key | may be | unless said |", "|---|---|---|"]
    words = section.get("description", "").replace("``", "`")
    title = [f"## {path.rstrip('.')}"] if path else []
    return [*title, words, *(["\n".join([*head, *rows])] if rows else []), *below]


def _section(one: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any] | None:
    named = [one, *one.get("anyOf", ()), *one.get("allOf", ())]
    names = [part["$ref"].rpartition("/")[2] for part in named if "$ref" in part]
    found = [known[name] for name in names if "properties" in known[name]]
    return found[0] if found else None


def _kind(one: Mapping[str, Any]) -> str:
    """Return what a value may be, in words."""
    if "anyOf" in one:
        return ", ".join(_kind(part) for part in one["anyOf"] if "$ref" not in part)
    if "enum" in one or "const" in one:
        return ", ".join(f"`{word}`" for word in one.get("enum", [one.get("const")]))
    bounds = {
        "minimum": "at least", "exclusiveMinimum": "over",
        "maximum": "at most", "exclusiveMaximum": "under",
    }  # fmt: skip
    if one.get("type") == "array":
        return f"a list of {_kind(one.get('items', {}))}"
    words = {
        "integer": "whole number", "string": "text", "boolean": "true or false", "null": "none",
    }  # fmt: skip
    said = " and ".join(f"{word} {one[key]}" for key, word in bounds.items() if key in one)
    kind = one.get("type", "any")
    return f"{words.get(kind, kind)} {said}".strip()

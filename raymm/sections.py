"""The sections of the configuration and what each key may be; `raymm.config` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from raymm.charsets import charset, delimiter
from raymm.durations import seconds

Duration = Annotated[float | None, BeforeValidator(seconds)]
Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, allow_inf_nan=False)]
"""A duration that must be there."""
_Off = BeforeValidator(lambda value: "off" if value is False else value)  # as YAML reads it
Charset = Annotated[str | None, BeforeValidator(charset)]
Delimiter = Annotated[str | None, BeforeValidator(delimiter)]
AutoOrOff = Annotated[Literal["auto", "off"], _Off]


def _wait(value: Any) -> Any:
    if value is False:
        return "off"
    if value is None:  # as versions hold it that are older than "auto"
        return "auto"
    return value if value in ("auto", "off") else seconds(value)


Wait = Annotated[Literal["auto", "off"] | float, BeforeValidator(_wait)]
"""A duration, or a bound that is found, or none."""


def _words(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
"""Names; one alone needs no brackets."""


Reason = Literal["drift", "quality", "age", "schedule"]
Reasons = tuple[Reason, ...]


def _reasons(value: Any) -> Any:
    """Return "off" for no reason, and one reason as several."""
    if value == "off" or value in ([], ()):
        return "off"
    return [value] if isinstance(value, str) else value


class Section(BaseModel):
    """A part of the configuration: no unknown key, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(Section):
    """Upper limits that the served bundle must keep; None is no limit."""

    latency_p99_ms: float | None = Field(default=None, gt=0)
    bundle_mb: float | None = Field(default=None, gt=0)


class Goal(Section):
    """What a good model is.

    ``metric`` "auto" is roc_auc for two classes, accuracy for more, rmse for numbers.
    ``at_least`` is the bound a model must reach: a floor for metrics that grow with quality, a
    ceiling for errors such as rmse. ``confidence`` is that of the statements in a blessing.
    ``protected`` names columns whose groups the audit compares. Where validation rows show that it
    pays, ``calibration`` mends probabilities, and ``decision`` weighs labels for the metric.
    What ships is trained on all training rows and proven on test rows. With ``refit`` "all" it is,
    once blessed, trained anew by the same recipe on both; scores stay those of the proven bundle.
    """

    metric: str = "auto"
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    limits: Limits = Limits()
    protected: Words = ()
    calibration: AutoOrOff = "auto"
    decision: AutoOrOff = "auto"
    refit: Literal["train", "all"] = "train"


class DataConfig(Section):
    """Where the table is and how it is split.

    ``source`` is a file, folder, glob or URL. ``test`` is the share of rows kept for the final
    evaluation. ``rows`` are trained and tested on at most: "auto" is a sample of tables beyond
    30,000,000 cells. ``positive`` names the positive class of a binary target. ``schema`` is a
    schema file written by ``raymm validate``. ``encoding`` and ``delimiter`` are those of text
    files, where what is found out is wrong: such as cp1251, and ``;``, tab or ``||``. Before the
    search ``select`` leaves out columns that tell nothing, and ``interactions`` puts in sums,
    differences, products and ratios of numbers, where validation rows show that it pays; the
    columns, and the interactions, that ``schema`` names are kept as they are.
    """

    source: str
    target: str
    task: Literal["auto", "binary", "multiclass", "regression"] = "auto"
    positive: str | None = None
    time: str | None = None
    group: str | None = None
    exclude: Words = ()
    test: float = Field(default=0.2, gt=0, lt=0.9)
    rows: Literal["auto", "all"] | Annotated[int, Field(ge=100)] = "auto"
    schema_file: str | None = Field(default=None, alias="schema")
    encoding: Charset = None
    delimiter: Delimiter = None
    select: AutoOrOff = "auto"
    interactions: AutoOrOff = "auto"


class SearchConfig(Section):
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


class CompressionConfig(Section):
    """``max_loss`` is the loss of the goal's metric allowed on validation rows: a share of the
    metric's value for errors such as rmse, an absolute difference for metrics in [0, 1].
    ``techniques`` are names of compressors, "auto" all that are known: members, truncate, prune,
    prune_linear, prune_network, distill, retrain, quantize, quantize_columns, quantize_network,
    quantize_rows.
    """

    max_loss: float = Field(default=0.0005, ge=0)
    techniques: Literal["auto"] | Words = "auto"


class Replicas(Section):
    """Bounds of autoscaling; a number stands for both."""

    min: int = Field(default=1, ge=1)
    max: int = Field(default=1, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _both(cls, given: Any) -> Any:
        number = isinstance(given, int) and not isinstance(given, bool)
        return {"min": given, "max": given} if number else given

    @model_validator(mode="after")
    def _ordered(self) -> Replicas:
        if self.max < self.min:
            raise ValueError(f"max must be at least min, but got min={self.min}, max={self.max}")
        return self


class ReleaseConfig(Section):
    """How a version is tried before it answers, and when it is taken back.

    It must be loaded and warm within ``load_time``, and answer one row within ``row_time``. With
    ``rollback`` "auto" one that fails, one that is promoted without force and of which a row takes
    over ``slowdown`` times as long as the champion's, or a canary that fails more often, is more
    than ``slowdown`` times as slow or, as labels show, answers worse, is taken out of the
    registry's release. Labels judge as ``monitoring.trial`` says, but only what is surely worse.
    """

    load_time: Seconds = 60.0
    row_time: Seconds = 1.0
    rollback: AutoOrOff = "auto"
    slowdown: float = Field(default=2.0, ge=1, allow_inf_nan=False)


class ServingConfig(Section):
    """How the service listens and what it accepts; ``poll`` is how often a replica looks for a
    newly promoted version, in seconds.

    A request's body must come within ``body_time``, and after five seconds at ``body_rate`` bytes a
    second on average; one that needs a thread is answered within ``answer_time`` of that, or told
    to come back. One that would have to wait longer than ``max_wait`` for a slow version, as its
    last calls took, is told so at once, as it is beyond ``max_queued`` requests; with "auto" it may
    wait as long as two calls take, less while they are slowed down by others, or one where several
    come at once or more is asked for than can be done, and 0.1 s at least. With ``batch`` "auto",
    requests of a version that wait are predicted by one call where that is measured to pay.
    ``rate`` is how many requests a second one token may send to one replica, on average; without
    tokens it is that of all together. ``tokens`` is a file of ``NAME: TOKEN`` lines, or a folder
    with one file a token; it is read again when it changes. ``certificate`` and ``key`` are PEM
    files for TLS. Only loopback addresses are bound without a token and TLS, unless ``insecure``
    says that something in front brings them. With ``grpc_port`` the Open Inference Protocol is
    spoken over gRPC there.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    replicas: Replicas = Replicas()
    max_body_kb: int = Field(default=1024, ge=1)
    max_rows: int = Field(default=10_000, ge=1)
    max_explained: int = Field(default=20, ge=1, le=1000)
    max_queued: int = Field(default=200, ge=1)
    max_wait: Wait = "auto"
    batch: AutoOrOff = "auto"
    body_time: Seconds = 30.0
    body_rate: float = Field(default=1024.0, ge=0, allow_inf_nan=False)
    answer_time: Seconds = 30.0
    rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    auth: Literal["token", "none"] = "token"
    tokens: str | None = None
    certificate: str | None = None
    key: str | None = None
    insecure: bool = False
    poll: Duration = 2.0
    release: ReleaseConfig = ReleaseConfig()
    grpc_port: int | None = Field(default=None, ge=1, le=65535)

    @model_validator(mode="after")
    def _whole(self) -> ServingConfig:
        if (self.certificate is None) != (self.key is None):
            given = "certificate" if self.key is None else "key"
            raise ValueError(f"certificate and key must be given together, but only {given} is")
        if self.tokens is not None and self.auth == "none":
            raise ValueError("tokens has no use where auth is none. Set auth to token")
        return self


class EventsConfig(Section):
    """Where a running ``raymm keep`` tells what happens to a model in service: drift of features
    and predictions, quality and calibration that are surely worse, that each is over, and every
    step of its own. Without it nothing is told. A ``log`` of JSON lines; a ``webhook``, which must
    be https unless its host is this machine; a ``command``, given as a list, that reads the event
    as JSON from its standard input. The last two may take ``timeout`` seconds each.
    """

    log: str | None = None
    webhook: str | None = Field(default=None, max_length=2000)
    command: Words = ()
    timeout: float = Field(default=5.0, gt=0, le=60)

    @property
    def places(self) -> tuple[str, ...]:
        """The names of the places that events are told to."""
        given = {"log": self.log, "webhook": self.webhook, "command": self.command}
        return tuple(name for name, place in given.items() if place)

    @model_validator(mode="after")
    def _safe(self) -> EventsConfig:
        if self.webhook is not None:
            where = urlsplit(self.webhook)
            here = where.hostname in {"127.0.0.1", "localhost", "::1"}
            if not where.hostname or (
                where.scheme != "https" and not (here and where.scheme == "http")
            ):
                raise ValueError("webhook must be an https:// address, or http:// on this machine")
        return self


class TrialConfig(Section):
    """What a challenger must show before it takes over, and a new champion to stay.

    In shadow it is compared with the champion on the same rows, once there are four times
    ``labels`` labelled ones, as many as ``monitoring.window`` or half of ``monitoring.labels``;
    after ``patience`` from ``labels`` on, and without any by errors and time alone; where labels
    are known to be late, that is after three times their lateness, 90 days at most; and from
    ``labels`` on at any time where hardly any doubt is left (0.24 % by chance). It goes on where it
    is surely at most ``margin`` worse (where less is better, that share of the champion's value).
    As a canary it answers ``share`` of the requests. In each stage it must answer ``requests``, and
    be at most ``slower`` times as slow. With ``rollback`` "auto" a new champion is compared in the
    same way with the one before it, which goes on in shadow, and is taken back where it is surely
    more than ``margin`` worse; one that was promoted by force is left alone. With ``proof``
    "labels" a challenger is tried too that is not blessed only because the test rows that the
    champion was not trained on are too few to show that it is no worse: labels of rows that both
    answered must show it, and without them it is given up. With "tests" it is not tried.
    """

    labels: int = Field(default=200, ge=30)
    margin: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    requests: int = Field(default=100, ge=1)
    patience: Duration = 86400.0
    share: float = Field(default=0.1, gt=0, lt=1)
    slower: float = Field(default=2.0, ge=1, allow_inf_nan=False)
    rollback: AutoOrOff = "auto"
    proof: Literal["labels", "tests"] = "labels"


class MonitoringConfig(Section):
    """``window`` rows are compared with the reference at a time; ``false_alarms_per_day`` is
    what a person accepts of them when nothing has changed, over all features together. Of each
    version's rows that have a true label, the newest ``labels`` are kept. As many predictions of
    all versions wait for theirs; where more come, the newest half stays and the rest is thinned
    to a sample of every age.

    ``retrain`` says what calls for training again, one or more of "drift" (a feature, or the
    predictions, drifted for ``windows`` windows in a row), "quality" (that of the last window of
    labelled rows is surely below ``quality_at_least``, a floor, or a ceiling for errors), "age"
    (the champion has been served for ``max_age``) and "schedule" (``every`` after the last training
    that came to an end began). Training begins once in ``pause`` at most. The monitor's state is
    written every ``flush`` seconds, which is what a kill may lose.
    """

    false_alarms_per_day: float = Field(default=0.01, gt=0)
    window: int = Field(default=1000, ge=50)
    flush: Duration = 5.0
    labels: int = Field(default=50_000, ge=100, le=1_000_000)
    retrain: Annotated[Literal["off"] | Reasons, _Off, BeforeValidator(_reasons)] = "off"
    windows: int = Field(default=3, ge=1)
    quality_at_least: float | None = Field(default=None, allow_inf_nan=False)
    max_age: Duration = None
    every: Duration = None
    pause: Duration = 86400.0
    trial: TrialConfig = TrialConfig()
    events: EventsConfig = EventsConfig()

    @model_validator(mode="after")
    def _complete(self) -> MonitoringConfig:
        needs = {"quality": "quality_at_least", "age": "max_age", "schedule": "every"}
        for reason in () if self.retrain == "off" else self.retrain:
            key = needs.get(reason)
            if key is not None and getattr(self, key) is None:
                raise ValueError(f"retrain on {reason} needs {key}. Set monitoring.{key}")
        return self


class RayConfig(Section):
    """``address``: "auto" joins a cluster that is there (RAY_ADDRESS, or inside a job) and else
    starts one here; "local" always starts one; else an address.
    """

    address: str = "auto"
    cpus: int | None = Field(default=None, ge=1)

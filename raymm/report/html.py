"""The report of a run: one HTML page that needs no network and no script."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.allowance import statement
from raymm.artifacts import (
    Anomaly,
    Audit,
    Blessing,
    Candidate,
    Doubts,
    Evaluation,
    Explanation,
    Frontier,
    Importance,
    Lineage,
    Schema,
    Score,
    Space,
    Trials,
)
from raymm.bundle.blend import decided
from raymm.report import figures
from raymm.report import frontier as compression
from raymm.report import search as searching
from raymm.report.confusion import confusion, counts
from raymm.report.figures import Axes, Bar, Layer

VERSION = "<!--version-->"
"""Stands in the headline where the version's number was not known."""
_TOP = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInputs:
    """What a report tells; whatever is None or empty has no section.

    Attributes
    ----------
    number : int or None
        The registered version's number.
    facts : mapping
        What was run, for the table at the top: data, rows, budget, seed, ledger and so on.
    truth, predictions : arrays or None
        Of the test rows: class codes or values, shape (n,); probabilities (n, classes) or
        values (n,). The figure of calibration and the confusion matrix are made of them.
    space : Space
        What was searched, for the figures of parameters.
    parameters : sequence of Importance
        How much each parameter of the space matters, the greatest first.
    front : collection of int
        Numbers of the trials that no other beats in every objective.
    note : str
        Stands below the scores: what they are of, where that is not what ships.
    """

    name: str
    number: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    schema: Schema | None = None
    evaluation: Evaluation | None = None
    blessing: Blessing | None = None
    trials: Trials | None = None
    frontier: Frontier | None = None
    explanation: Explanation | None = None
    audit: Audit | None = None
    anomalies: Sequence[Anomaly] = ()
    lineage: Lineage | None = None
    truth: npt.NDArray[Any] | None = None
    predictions: npt.NDArray[Any] | None = None
    space: Space = field(default_factory=dict)
    parameters: Sequence[Importance] = ()
    front: Collection[int] = ()
    doubts: Doubts | None = None
    note: str = ""


def render(inputs: ReportInputs) -> str:
    """Return the page as text; every value in it is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("raymm.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, interval=interval, settings=settings)
    # Figures escape what they show themselves.
    drawn = {name: Markup(svg) for name, svg in _figures(inputs).items()}  # noqa: S704
    page = environment.get_template("report.html.jinja")
    return page.render(
        r=inputs,
        figures=drawn,
        searched=_searched(inputs),
        examples=_examples(inputs),
        top=_TOP,
        version=VERSION,
        allowance=statement(inputs.frontier) if inputs.frontier else "",
    )


def numbered(page: str, version: int) -> str:
    """Return a page that was rendered before its version was known, with the version's number."""
    return page.replace(VERSION, f' <span class="soft">version {version}</span>', 1)


def listed(doubts: Doubts) -> str:
    """Return doubtful labels as CSV, the most doubtful first; rows are counted from 1."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["row", "given", "likelier", "measure"])
    table.writerows([one.row, one.given, one.likelier, one.measure] for one in doubts.worst)
    return text.getvalue()


def number(value: Any) -> str:
    """Write a value for a person: numbers with five significant digits, None and NaN as a dash."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    if isinstance(value, (float, np.floating)):
        return f"{value:,.0f}" if abs(float(value)) >= 1e5 else f"{value:.5g}"
    return str(value)


def interval(score: Score) -> str:
    """Write a score with its interval, such as ``0.85 (0.83 to 0.87)``."""
    return f"{number(score.value)} ({number(score.low)} to {number(score.high)})"


def settings(config: Mapping[str, Any]) -> str:
    """Write a configuration in one line, without its family."""
    own = f"{config.get('family')}."
    pairs = ((key.removeprefix(own), value) for key, value in config.items() if key != "family")
    return ", ".join(f"{key} {number(value)}" for key, value in pairs)


def _figures(inputs: ReportInputs) -> dict[str, str]:
    found = dict.fromkeys(("frontier", "time", "importance", "calibration", "confusion"), "")
    if inputs.frontier is not None:
        found["frontier"] = compression.draw(inputs.frontier)
        found["time"] = _times(inputs.frontier)
    if inputs.explanation is not None:
        kept = inputs.explanation.importance[:_TOP]
        rows = [Bar(label=i.column, value=i.value, low=i.low, high=i.high) for i in kept]
        metric = inputs.evaluation.score.metric if inputs.evaluation else "metric"
        found["importance"] = figures.bars(
            rows, title="Importance of columns", unit=f"loss of {metric} when shuffled"
        )
    truth, predictions = inputs.truth, inputs.predictions
    if truth is not None and predictions is not None:
        draw = _scatter if predictions.ndim == 1 else _calibration
        found["calibration"] = draw(truth, predictions, inputs.schema)
        if predictions.ndim == 2:
            decision = inputs.schema.decision if inputs.schema else ()
            found["confusion"] = _confusion(truth, decided(predictions, decision), inputs.schema)
    return found


def _searched(inputs: ReportInputs) -> Mapping[str, Any]:
    from markupsafe import Markup

    kinds = ("history", "front", "parameters", "parallel", "slices", "curves")
    drawn: Mapping[str, Sequence[searching.Drawing]] = {}
    if inputs.trials is not None:
        drawn = searching.draw(
            searching.Searched(
                trials=inputs.trials,
                space=inputs.space,
                parameters=inputs.parameters,
                front=inputs.front,
            )
        )
    # Figures escape what they show themselves.
    return {
        kind: [(Markup(one.svg), one.caption) for one in drawn.get(kind, ())]  # noqa: S704
        for kind in kinds
    }


def _confusion(
    truth: npt.NDArray[Any], predictions: npt.NDArray[Any], schema: Schema | None
) -> str:
    classes = predictions.shape[1]
    known = tuple(schema.classes) if schema else ()
    names = known if len(known) == classes else tuple(str(code) for code in range(classes))
    return confusion(counts(truth, predictions, classes), names)


def _times(frontier: Frontier) -> str:
    """Draw the candidates by the time of a row; the line joins those that no other beats."""
    best: list[Candidate] = []
    for one in sorted(frontier.candidates, key=lambda one: (one.row_microseconds, one.loss.value)):
        if not best or one.loss.value < best[-1].loss.value:
            best.append(one)
    layers = [
        Layer(
            name="not beaten in both",
            x=[one.row_microseconds for one in best],
            y=[one.score for one in best],
            style="step",
            faint=True,
        )
    ]
    layers += [
        Layer(
            name="chosen" if chosen else "candidates",
            x=[c.row_microseconds for c in frontier.candidates if c.chosen is chosen],
            y=[c.score for c in frontier.candidates if c.chosen is chosen],
            style="dots",
            marked=chosen,
        )
        for chosen in (False, True)
    ]
    axes = Axes(title="Score against time", x="time of one row, µs", y=frontier.metric, log_x=True)
    return figures.plot(layers, axes)


def _calibration(
    truth: npt.NDArray[Any], predictions: npt.NDArray[Any], schema: Schema | None
) -> str:
    binary = predictions.shape[1] == 2
    given = predictions[:, 1] if binary else predictions.max(axis=1)
    happened = truth == (1 if binary else predictions.argmax(axis=1))
    order = np.argsort(given, kind="stable")
    groups = [
        part for part in np.array_split(order, min(10, max(1, len(order) // 20))) if len(part)
    ]
    x = [float(given[part].mean()) for part in groups]
    y = [float(happened[part].mean()) for part in groups]
    name = schema.classes[-1] if binary and schema and schema.classes else "the positive class"
    label = f"probability given to {name}" if binary else "probability of the predicted class"
    axes = Axes(title="Calibration", x=label, y="share of rows where it was so", diagonal=True)
    line = Layer(name="test rows", x=x, y=y, marked=True)
    return figures.plot([line, Layer(name="groups", x=x, y=y, style="dots", marked=True)], axes)


def _scatter(truth: npt.NDArray[Any], predictions: npt.NDArray[Any], schema: Schema | None) -> str:
    rows = np.linspace(0, len(truth) - 1, min(500, len(truth))).astype(int)
    target = schema.target if schema else "value"
    axes = Axes(
        title="Predicted against actual", x=f"actual {target}", y="predicted", diagonal=True
    )
    x, y = truth[rows].astype(float).tolist(), predictions[rows].astype(float).tolist()
    return figures.plot([Layer(name="test rows", x=x, y=y, style="dots")], axes)


def _examples(inputs: ReportInputs, count: int = 4, columns: int = 8) -> list[dict[str, Any]]:
    explanation = inputs.explanation
    if explanation is None:
        return []
    from markupsafe import Markup

    # The rows with the smallest and the largest output, and some between, tell most.
    order = np.argsort(explanation.outputs, kind="stable")
    picks = sorted({int(i) for i in np.linspace(0, len(order) - 1, count)}) if len(order) else []
    found = []
    for row in (int(order[pick]) for pick in picks):
        parts = explanation.contributions[row]
        rank = sorted(range(len(parts)), key=lambda i: -abs(parts[i]))[:columns]
        drawn = figures.bars(
            [Bar(label=explanation.columns[i], value=parts[i]) for i in rank],
            title=f"Contributions to test row {row + 1}",
            unit=explanation.unit,
        )
        told = {"row": row + 1, "output": explanation.outputs[row]}
        found.append({**told, "figure": Markup(drawn)})  # noqa: S704
    return found

from __future__ import annotations

import csv
import dataclasses
import io
from html.parser import HTMLParser

import numpy as np
import pytest

from raymm.artifacts import Doubt, Doubts, Float, Importance, Int
from raymm.report.html import ReportInputs, interval, listed, number, numbered, render, settings

VOID = {"meta", "link", "br", "hr", "img", "input"}
SELF_CLOSED = {"line", "rect", "circle", "polyline", "path"}


class Reader(HTMLParser):
    """Reads a page strictly: every element is closed in order, and its words are kept."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def test_the_page_is_well_formed_and_stands_alone(inputs: ReportInputs) -> None:
    page = render(inputs)
    reader = Reader(page)
    assert reader.count("script") == 0
    assert reader.count("h1") == 1
    for _, attributes in reader.tags:
        assert not {"src", "href", "onclick"} & set(attributes)
    assert "http" not in page
    assert "url(" not in page


def test_tables_have_captions_and_figures_have_descriptions(inputs: ReportInputs) -> None:
    reader = Reader(render(inputs))
    assert reader.count("table") == reader.count("caption") > 5
    figures = [attributes for tag, attributes in reader.tags if tag == "svg"]
    # History; the frontier by size and time; importance, calibration, confusion; four rows.
    assert len(figures) == 1 + 2 + 3 + 4
    assert all(one["role"] == "img" and len(one["aria-label"] or "") > 20 for one in figures)


def test_every_artefact_is_told(inputs: ReportInputs) -> None:
    text = " ".join(" ".join(Reader(render(inputs)).words).split())
    told = ["churn", "version 4", "not blessed", "0.8502", "churn@3", "7,043", "7 of them read"]
    told += [
        "prune + quantize (chosen)",
        "TotalCharges",
        "every value differs",
        "roc_auc by gender",
    ]
    told += ["cd" * 32, "lightgbm 4.7.0", "ValueError: <no rows>", "41 trials"]
    for words in told:
        assert words in text, words


def test_values_are_escaped(inputs: ReportInputs) -> None:
    evil = "<script>alert(1)</script>"
    assert evil not in render(inputs)
    explanation = dataclasses.replace(
        inputs.explanation,
        unit=evil,
        importance=(dataclasses.replace(inputs.explanation.importance[0], column=evil[:20]),),
    )
    page = render(
        dataclasses.replace(inputs, name=evil, explanation=explanation, facts={evil: evil})
    )
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.slow
@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(ReportInputs)][1:])
def test_a_part_that_is_missing_is_passed_over(inputs: ReportInputs, field: str) -> None:
    empty = getattr(ReportInputs(name="x"), field)
    Reader(render(dataclasses.replace(inputs, **{field: empty})))


def test_a_name_alone_is_a_page() -> None:
    assert "only me" in "".join(Reader(render(ReportInputs(name="only me"))).words)


def test_regression_and_many_classes_have_their_figure(inputs: ReportInputs) -> None:
    truth = np.arange(700.0)
    page = render(dataclasses.replace(inputs, truth=truth, predictions=truth + 1))
    assert "actual Churn" in page
    classes = np.random.default_rng(0).dirichlet(np.ones(3), 50)
    page = render(
        dataclasses.replace(inputs, truth=np.zeros(50, dtype=np.int64), predictions=classes)
    )
    assert "probability of the predicted class" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (True, "yes"),
        (12345, "12,345"),
        (0.123456, "0.12346"),
        (123456.7, "123,457"),
        ("words", "words"),
        (np.int64(1000), "1,000"),
    ],
)
def test_numbers_are_written_for_a_person(value: object, text: str) -> None:
    assert number(value) == text


def test_a_version_is_told_after_it_is_known(inputs: ReportInputs) -> None:
    page = render(dataclasses.replace(inputs, number=None))
    text = " ".join(" ".join(Reader(numbered(page, 7)).words).split())
    assert "churn version 7 not blessed" in text
    assert "version 7" not in page
    assert numbered(render(inputs), 7) == render(inputs)


def test_the_search_is_drawn_where_its_space_is_known(inputs: ReportInputs) -> None:
    space = {"learning_rate": Float(0.01, 0.6, log=True), "leaves": Int(1, 50)}
    parameters = (Importance(column="leaves", value=0.6, low=0.5, high=0.7),)
    whole = dataclasses.replace(inputs, space=space, parameters=parameters)
    reader = Reader(render(whole))
    more = reader.count("svg") - Reader(render(inputs)).count("svg")
    assert more == 1 + 1 + 2  # importance of parameters, parallel coordinates, two slices
    assert "What matters in the search" in "".join(reader.words)


def test_settings_and_intervals_are_one_line(inputs: ReportInputs) -> None:
    assert settings({"family": "svm", "c": 0.5, "on": True}) == "c 0.5, on yes"
    assert interval(inputs.evaluation.score) == "0.8502 (0.8302 to 0.8702)"


def test_a_candidates_loss_has_its_interval_below_it_and_controls_a_column_of_their_own(inputs):
    page = render(inputs)
    assert '0.002<br><span class="soft">0.001 to 0.003</span>' in page
    assert "better than its labels alone" not in page
    first, *rest = inputs.frontier.candidates
    student = dataclasses.replace(first, over_control=inputs.evaluation.score)
    frontier = dataclasses.replace(inputs.frontier, candidates=(student, *rest))
    page = render(dataclasses.replace(inputs, frontier=frontier))
    assert "better than its labels alone" in page
    assert '0.8502<br><span class="soft">0.8302 to 0.8702</span>' in page


def test_candidates_tell_their_times_and_sizes_where_they_were_measured(inputs) -> None:
    cells = " ".join(Reader(render(inputs)).words).split()
    for told in ("4567", "77.7", "8.8"):
        assert cells.count(told) == 1, told
    # Records of older versions lack them: three times three dashes.
    page = render(dataclasses.replace(inputs, anomalies=(), explanation=None))
    assert page.count('<td class="n">–</td>') >= 9


@pytest.mark.slow
@pytest.mark.parametrize("classes", [("No", "Yes"), ()])
def test_the_most_doubtful_labels_are_shown_and_all_are_listed(
    inputs: ReportInputs, classes: tuple[str, ...]
) -> None:
    worst = tuple(
        Doubt(row=100 + k, given="<b>Yes, no</b>", likelier="No", measure=k / 1000)
        for k in range(30)
    )
    assert inputs.schema is not None
    doubts = Doubts(looked=5634, found=31, worst=worst)
    schema = dataclasses.replace(inputs.schema, classes=classes)
    given = dataclasses.replace(inputs, schema=schema, doubts=doubts, truth=None, predictions=None)
    page = render(given)
    assert "most doubtful" not in render(dataclasses.replace(given, doubts=None))
    assert f"The 20 most doubtful of 31 {'labels' if classes else 'values'}, among 5,634" in page
    assert "lists the first 30" in page
    assert ("probability of the one given" in page) == bool(classes)
    assert '<td class="n">119</td><td>&lt;b&gt;Yes, no&lt;/b&gt;</td><td>No</td>' in page
    assert '<td class="n">120</td><td>&lt;b' not in page
    rows = list(csv.reader(io.StringIO(listed(doubts))))
    assert rows[0] == ["row", "given", "likelier", "measure"]
    assert rows[30] == ["129", "<b>Yes, no</b>", "No", "0.029"]
    assert len(rows) == 31

import io
import json
import threading

import pyarrow as pa
import pytest

from raymm.artifacts import Schema, Watcher
from raymm.errors import InputError, TooLarge
from raymm.serving.feedback import LabelReader


class Recorder(Watcher):
    def __init__(self):
        self.learned = []

    def watch(self, version, statistics, **how):
        pass

    def tell(self, batch):
        self.told = batch

    def learn(self, feedback):
        self.learned.append(feedback)

    def report(self):
        return {}


def _reader(*classes):
    task = "binary" if classes else "regression"
    return LabelReader(Schema(columns=(), target="y", task=task, classes=classes))


def _labels(*values):
    return {"labels": [{"id": f"a-{row}", "label": value} for row, value in enumerate(values)]}


@pytest.mark.parametrize(
    ("classes", "given", "read"),
    [
        (("no", "yes"), ["yes", " no "], ["yes", "no"]),
        (("0", "1"), ["1", 1, 1.0, "1.0", 0], ["1", "1", "1", "1", "0"]),
        (("1.0", "2.5"), [1, 2.5, "2.50"], ["1.0", "2.5", "2.5"]),
        (("False", "True"), [True, "False"], ["True", "False"]),
        (("false", "true"), [False], ["false"]),
        ((), [1, -2.5], [1.0, -2.5]),
    ],
)
def test_labels_are_those_of_the_table(classes, given, read):
    feedback = _reader(*classes).feedback(_labels(*given), 100)
    assert list(feedback.labels) == read
    assert list(map(type, feedback.labels)) == list(map(type, read))
    assert feedback.ids == tuple(f"a-{row}" for row in range(len(given)))


@pytest.mark.parametrize(
    ("classes", "wrong"),
    [
        *((("no", "yes"), wrong) for wrong in ("maybe", "YES", 1, True, None, [], {}, "")),
        *((("0", "1"), wrong) for wrong in (2, "2", "x", 1e999, "inf", True)),
        *(((), wrong) for wrong in ("1", True, None, 1e999, -1e999, 10**400, float("nan"))),
    ],
)
def test_a_wrong_label_names_its_field(classes, wrong):
    good = "no" if "no" in classes else "0" if classes else 0
    with pytest.raises(InputError) as caught:
        _reader(*classes).feedback(_labels(good, wrong), 100)
    assert caught.value.field == "labels[1].label"


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"labels": []},
        {"labels": {}},
        {"labels": [1]},
        {"labels": [{"id": "a"}]},
        {"labels": [{"id": "a", "label": "yes", "more": 1}]},
        {"labels": [{"id": "", "label": "yes"}]},
        {"labels": [{"id": 7, "label": "yes"}]},
        {"labels": [{"id": "a", "label": "yes"}], "more": 1},
    ],
)
def test_wrong_outlines(body):
    with pytest.raises(InputError):
        _reader("no", "yes").feedback(body, 100)


def test_labels_are_bounded():
    with pytest.raises(TooLarge, match="max_rows"):
        _reader().feedback(_labels(1, 2, 3), 2)


def test_labels_reach_the_monitor_under_the_names_that_were_answered(make_client, record):
    recorder = Recorder()
    client = make_client(watcher_for=lambda name: recorder)
    asked = {"records": [record, record | {"age": -400}]}
    answer = client.post("/v1/models/churn/predict", json=asked).json()
    labels = [{"id": f"{answer['id']}-{row}", "label": "yes"} for row in (0, 1, 1)]
    told = client.post("/v1/models/churn/feedback", json={"labels": labels})
    assert (told.status_code, told.json()) == (
        200,
        {"model": "churn", "received": 3, "predictions": 2},
    )
    assert recorder.learned[0].ids[:2] == recorder.told.ids
    assert recorder.learned[0].labels == ("yes",) * 3


def test_feedback_is_guarded_as_predictions_are(make_client, post):
    path, good = "/v1/models/churn/feedback", {"labels": [{"id": "a", "label": "yes"}]}
    recorder = Recorder()
    watched = make_client(watcher_for=lambda name: recorder, max_body_kb=1)
    assert post(watched, {"labels": [{"id": "a", "label": 1}]}, path)[0] == 422
    assert post(watched, b"[" * 900, path)[0] == 422
    assert post(watched, b" " * 2000, path)[0] == 413
    assert watched.post(path, content=b"", headers={"content-type": "text/html"}).status_code == 415
    assert recorder.learned == []
    assert post(make_client(), good, path)[0] == 404
    assert post(make_client(tokens={"a": "s3cret"}), good, path)[0] == 401


def _as_arrow(**columns):
    sink = io.BytesIO()
    table = pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


ARROW = "application/vnd.apache.arrow.stream"


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("text/csv", b"label,id\r\nyes,a-0\r\n no ,a-1\r\n"),
        (ARROW, _as_arrow(id=["a-0", "a-1"], label=["yes", "no"])),
        (ARROW, _as_arrow(id=["a-0", "a-1"], label=pa.array(["yes", "no"]).dictionary_encode())),
    ],
)
def test_labels_come_as_tables_too(make_client, media, body):
    recorder = Recorder()
    client = make_client(watcher_for=lambda name: recorder)
    path, headers = "/v1/models/churn/feedback", {"content-type": media}
    assert client.post(path, content=body, headers=headers).json()["received"] == 2
    assert recorder.learned[0].ids == ("a-0", "a-1")
    assert recorder.learned[0].labels == ("yes", "no")


def test_values_come_as_tables_too(make_client, make_served):
    recorder = Recorder()
    client = make_client(make_served(task="regression"), watcher_for=lambda name: recorder)
    for media, body in (
        ("text/csv", b"id,label\na, 1.5\n"),
        (ARROW, _as_arrow(id=["a"], label=[1.5])),
    ):
        answer = client.post(
            "/v1/models/churn/feedback", content=body, headers={"content-type": media}
        )
        assert answer.status_code == 200
    assert [one.labels for one in recorder.learned] == [(1.5,), (1.5,)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("media", "body", "field"),
    [
        ("text/csv", b"id\na\n", "line 1"),
        ("text/csv", b"id,label,more\na,yes,1\n", "line 1"),
        ("text/csv", b"id,label\na,yes\nb,maybe\n", "line 3, label"),
        ("text/csv", b"id,label\na b,yes\n", "line 2, id"),
        ("text/csv", b"id,label\na,\n", "line 2, label"),
        (ARROW, _as_arrow(id=["a", None], label=["yes", "no"]), "rows[1].id"),
        (ARROW, _as_arrow(id=["a"], label=[["yes"]]), "schema, label"),
        (ARROW, _as_arrow(id=["a"], label=[b"yes"]), "schema, label"),
        (ARROW, _as_arrow(id=["a"], label=pa.array([2**62], pa.timestamp("s"))), "schema, label"),
        (ARROW, _as_arrow(id=["a"], label=pa.array([2**31 - 1], pa.date32())), "schema, label"),
    ],
)
def test_tables_of_wrong_labels(make_client, media, body, field):
    recorder = Recorder()
    client = make_client(watcher_for=lambda name: recorder)
    answer = client.post("/v1/models/churn/feedback", content=body, headers={"content-type": media})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
    assert not recorder.learned


def test_only_what_takes_long_is_read_off_the_loop(make_client, monkeypatch):
    seen = []
    read = LabelReader._class

    def watched(self, value):
        seen.append(threading.current_thread().name)
        return read(self, value)

    monkeypatch.setattr(LabelReader, "_class", watched)
    client = make_client(watcher_for=lambda name: Recorder())
    table = b"id,label\n" + b"a,yes\n" * 400
    bodies = [
        ("application/json", json.dumps(_labels("yes")).encode(), False),
        ("application/json", json.dumps(_labels(*["yes"] * 900)).encode(), True),
        ("text/csv", table[:50].rpartition(b"\n")[0], False),
        ("text/csv", table, True),
        (ARROW, _as_arrow(id=["a"], label=["yes"]), True),
    ]
    for media, body, apart in bodies:
        seen.clear()
        answer = client.post(
            "/v1/models/churn/feedback", content=body, headers={"content-type": media}
        )
        assert answer.status_code == 200
        assert {"raymm-feedback" in name for name in seen} == {apart}
    wrong = client.post("/v1/models/churn/feedback", content=b"[" + b" " * 20_000 + b"]")
    assert wrong.status_code == 422

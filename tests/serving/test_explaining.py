import numpy as np
import pytest

PATH = "/v1/models/churn/explain"


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_contributions_add_up_to_what_is_predicted(make_client, make_served, record, post, task):
    client = make_client(make_served(number=7, task=task))
    rows = [record, record | {"age": -400, "city": "Bern"}]
    predicted = post(client, {"records": rows})[1]
    status, answer = post(client, {"records": rows}, PATH)
    assert (status, answer["version"]) == (200, 7)
    assert "64 coalitions" in answer["method"]
    for row, one in enumerate(answer["explanations"]):
        value = predicted["predictions"][row]
        assert one["prediction"] == value
        if task == "binary":
            assert one["class"] == "yes"
            value = predicted["probabilities"][row]["yes"]
        assert one["value"] == pytest.approx(value, abs=1e-7)
        total = one["base"] + sum(one["contributions"].values())
        assert abs(total - one["value"]) <= answer["tolerance"] * max(1, abs(value))
        # only age is read by the graph
        rest = [abs(part) for name, part in one["contributions"].items() if name != "age"]
        assert len(rest) == 5
        assert max(rest) < 1e-9 < abs(one["contributions"]["age"])
    assert post(client, {"records": rows}, PATH)[1] == answer


def test_a_class_may_be_chosen(make_client, record, post):
    client = make_client()
    yes = post(client, {"records": [record]}, PATH)[1]["explanations"][0]
    no = post(client, {"records": [record], "class": "no"}, PATH)[1]["explanations"][0]
    assert (yes["class"], no["class"]) == ("yes", "no")
    assert no["value"] == pytest.approx(1 - yes["value"])
    np.testing.assert_allclose(
        list(no["contributions"].values()), [-v for v in yes["contributions"].values()], atol=1e-7
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"records": []}, 422),
        ([], 422),
        ({"records": [{"age": "x"}]}, 422),
        ({"records": [{}], "class": "maybe"}, 422),
        ({"records": [{}], "class": ["yes"]}, 422),
        ({"records": [{}] * 4}, 413),
        (b'{"records": 1e999', 422),
    ],
)
def test_wrong_requests(make_client, post, body, status):
    assert post(make_client(max_explained=3), body, PATH)[0] == status


def test_it_gives_up_in_time(make_client, make_served, record, post):
    import threading
    from dataclasses import replace

    served, release = make_served(), threading.Event()

    class Slow:
        schema = served.schema

        def predict(self, tensors):
            release.wait(5)
            return served.runner.predict(tensors)

    client = make_client(replace(served, runner=Slow()), answer_time=0.05)
    answer = client.post(PATH, json={"records": [record]})
    release.set()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_a_table_is_explained_as_records_are(make_client, record, post):
    import csv
    import io

    client, path = make_client(max_explained=2), "/v1/models/churn/explain"
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(record))
    writer.writeheader()
    writer.writerows([record, record | {"age": -40}])
    headers = {"content-type": "text/csv"}
    answer = client.post(path, content=text.getvalue().encode(), headers=headers)
    assert answer.status_code == 200
    expected = post(client, {"records": [record, record | {"age": -40}]}, path)[1]
    assert answer.json() == expected
    writer.writerow(record)
    answer = client.post(path, content=text.getvalue().encode(), headers=headers)
    assert answer.status_code == 413


def test_what_is_explained_is_counted_apart_from_predictions(make_client, record, post):
    client = make_client(rate=None)
    for _ in range(3):
        assert post(client, {"records": [record]}, PATH)[0] == 200
    for _ in range(2):
        assert post(client, {"records": [{}]}, PATH)[0] == 422
    post(client, {"records": [record]}, "/v1/models/unknown/explain")
    told = client.get("/metrics").text
    of = '{model="churn",version="1"}'
    assert f"raymm_explain_requests_total{of} 5.0" in told
    assert f"raymm_explain_request_seconds_count{of} 3.0" in told
    assert 'raymm_errors_total{error="InputError",model="churn",status="422"} 2.0' in told
    assert "raymm_requests_total{" not in told
    assert "raymm_rows_total{" not in told
    assert "unknown" not in told

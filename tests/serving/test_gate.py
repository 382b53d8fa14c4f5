import logging

import pytest

from raymm.errors import TooOften, Unauthorized
from raymm.serving.gate import Gate, refusal
from raymm.serving.limits import Rates
from raymm.serving.telemetry import Telemetry
from raymm.serving.tokens import Guard


def _scope(token=None, method="POST"):
    headers = [] if token is None else [(b"authorization", b"Bearer " + token)]
    return {"type": "http", "method": method, "path": "/x", "headers": headers}


def test_each_token_has_a_rate_of_its_own_and_is_counted_by_name():
    telemetry = Telemetry()
    guard = Guard({"alice": "one", "bob": "two"})
    gate = Gate(guard, Rates(2, clock=lambda: 0.0), telemetry)
    for _ in range(2):
        scope = _scope(b"one")
        gate.admit(scope)
        assert scope["raymm.caller"] == "alice"
    with pytest.raises(TooOften):
        gate.admit(_scope(b"one"))
    gate.admit(_scope(b"one", "GET"))
    gate.admit(_scope(b"two"))
    with pytest.raises(Unauthorized):
        gate.admit(_scope(b"three"))
    text = telemetry.text({}, {}).decode()
    assert 'raymm_token_requests_total{token="alice"} 3.0' in text
    assert 'raymm_token_requests_total{token="bob"} 1.0' in text


def test_without_tokens_all_share_one_rate():
    gate = Gate(None, Rates(1, clock=lambda: 0.0), Telemetry())
    gate.admit(_scope())
    with pytest.raises(TooOften):
        gate.admit(_scope())


def test_looking_has_a_rate_of_its_own():
    rates = {"rates": Rates(1, clock=lambda: 0.0), "looks": Rates(3, clock=lambda: 0.0)}
    gate = Gate(None, telemetry=Telemetry(), **rates)
    gate.admit(_scope())
    for _ in range(3):
        gate.admit(_scope(method="GET"))
    with pytest.raises(TooOften):
        gate.admit(_scope(method="GET"))
    with pytest.raises(TooOften):
        gate.admit(_scope())


def test_a_refusal_is_told_in_one_line_without_the_token(caplog):
    scope = _scope(b"one") | {"path": "/x\nfake line", "raymm.caller": "alice"}
    with caplog.at_level(logging.INFO):
        logging.getLogger("raymm.serving").info(*refusal(scope, TooOften("x")))
    assert caplog.messages == ["POST '/x\\nfake line' of token 'alice': 429 TooOften"]


def test_a_client_over_its_rate_is_told_when_to_come_back(make_client, record):
    client = make_client(tokens={"alice": "one"}, rate=0.1)
    how = {"json": {"records": [record]}, "headers": {"authorization": "Bearer one"}}
    assert client.post("/v1/models/churn/predict", **how).status_code == 200
    answer = client.post("/v1/models/churn/predict", **how)
    assert answer.status_code == 429
    assert answer.json()["error"]["type"] == "TooOften"
    assert 8 <= int(answer.headers["retry-after"]) <= 10
    assert client.get("/v1/models", headers=how["headers"]).status_code == 200

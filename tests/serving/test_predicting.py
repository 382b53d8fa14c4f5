import threading
from dataclasses import replace

from raymm.serving.predicting import INLINE_BYTES, INLINE_SECONDS


def _where(client, post, body):
    """Post and return the name of the thread that ran the graph."""
    seen = []
    service = client.app.state.models
    served = service.get("churn")

    class Watching:
        schema = served.schema
        labels = staticmethod(served.runner.labels)

        def predict(self, tensors):
            seen.append(threading.current_thread().name)
            return served.runner.predict(tensors)

    service._served["churn"] = replace(served, runner=Watching())
    assert post(client, body)[0] == 200
    service._served["churn"] = served
    return seen[0]


def test_only_what_takes_long_leaves_the_loop(make_client, make_served, record, post):
    quick = replace(make_served(), row_seconds=INLINE_SECONDS / 2)
    slow = replace(quick, row_seconds=INLINE_SECONDS * 2)
    small = {"records": [record]}
    large = {"records": [record] * (INLINE_BYTES // 50)}
    assert "raymm-predict" not in _where(make_client(quick), post, small)
    assert "raymm-predict" in _where(make_client(quick), post, large)
    assert "raymm-predict" in _where(make_client(slow), post, small)


def test_a_new_version_is_watched_once(make_client, make_served, record, post):
    told = []

    class Watcher:
        def watch(self, version, statistics):
            told.append(version)

        def tell(self, batch):
            told.append("batch")

        def report(self):
            return {}

    client = make_client(watcher_for=lambda name: Watcher())
    post(client, {"records": [record]})
    post(client, {"records": [record]})
    client.app.state.models._served["churn"] = make_served(number=2)
    post(client, {"records": [record]})
    assert told == [1, "batch", "batch", 2, "batch"]

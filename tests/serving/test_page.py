"""The page at ``/``: its files and headers, and the page itself in a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from raymm.artifacts import Watcher
from raymm.serving.page import FOLDER, POLICY

FILES = sorted(path.name for path in FOLDER.iterdir())


def test_the_page_needs_no_token_and_holds_nothing_of_the_models(make_client, make_served):
    client = make_client(make_served("secret-model"), tokens={"a": "s3cret"})
    page = client.get("/", headers={"accept": "text/html,application/json;q=0.9"})
    assert page.status_code == client.get("/").status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for answer in (page, client.get("/docs"), *(client.get(f"/assets/{name}") for name in FILES)):
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        for told in ("s3cret", "secret-model", "income"):
            assert told not in answer.text
    for name in ("status", "history"):
        assert client.get(f"/v1/models/secret-model/{name}").status_code == 401


def test_who_asks_for_json_is_told_where_to_read_on(make_client):
    answer = make_client().get("/", headers={"accept": "application/json"})
    assert (answer.json()["docs"], answer.headers["vary"]) == ("/docs", "accept")


@pytest.mark.parametrize("name", ["..%2fpage.py", "nothing.js", "page.py", "%2e%2e/page.py"])
def test_no_other_file_is_served(make_client, name):
    answer = make_client().get(f"/assets/{name}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "NotFound")


def test_a_file_that_is_known_is_not_sent_again(make_client):
    client = make_client()
    tag = client.get("/assets/page.js").headers["etag"]
    again = client.get("/assets/page.js", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get("/assets/page.css", headers={"if-none-match": tag})
    assert other.status_code == 200


def test_the_page_of_an_application_that_is_not_at_the_root(make_client):
    client = make_client()
    inner = client.app

    async def mounted(scope, receive, send):
        await inner({**scope, "root_path": "/other"}, receive, send)

    client.app = mounted
    there = client.get("/other")
    assert (there.status_code, there.headers["location"]) == (307, "other/")
    assert client.get("/other/").text.startswith("<!doctype html>")
    assert client.get("/other/assets/page.js").status_code == 200
    assert client.get("/nowhere").status_code == client.post("/other").status_code == 404


def test_nothing_is_loaded_from_elsewhere_and_nothing_stands_inline():
    names = {path.name: path.read_text() for path in map(FOLDER.joinpath, FILES)}
    for page in (names["index.html"], names["docs.html"]):
        for found in re.findall(r'(?:src|href)="([^"]*)"', page):
            own = {"#main", "docs", "./", "openapi.json"}
            assert found in own or (FOLDER.parent / found).is_file()
        assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)", page)
    for name, text in names.items():
        addresses = set(re.findall(r"https?://[^\s\"')]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name
        written = r"innerHTML\s*=|outerHTML\s*=|insertAdjacentHTML|document\.write|\beval\("
        assert not re.search(written, text), name
        for module in re.findall(r'from "\./([^"]*)"', text):
            assert module in names


@pytest.mark.parametrize(
    ("page", "scripts"),
    [
        ("index.html", [name for name in FILES if name.endswith(".js") and name != "docs.js"]),
        ("docs.html", ["docs.js"]),
    ],
)
def test_every_element_that_the_scripts_name_is_on_the_page(page, scripts):
    page = (FOLDER / page).read_text()
    ids = re.findall(r'\sid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    text = "".join((FOLDER / name).read_text() for name in scripts)
    assert set(re.findall(r'by\("([\w-]+)"\)', text)) <= set(ids)
    for found in re.findall(r'(?:for|aria-(?:labelledby|describedby|controls))="([^"]*)"', page):
        assert set(found.split()) <= set(ids)
    assert {path.suffix for path in map(Path, FILES)} == {".html", ".css", ".js", ".svg"}


# ------------------------------------------------------------------------------------ in a browser

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def hostile(make_bundle):
    """A model of thirty features whose names and categories are hostile."""
    from raymm.artifacts import Column
    from raymm.bundle.run import Runner
    from raymm.serving.rehearsal import warmed

    bundle = make_bundle()
    columns = [
        replace(one, categories=(HOSTILE, "Rome", *(f"town {n}" for n in range(10_000))))
        if one.name == "city"
        else one
        for one in bundle.schema.columns
    ]
    names = [HOSTILE, "__proto__", "constructor", "a.b[0]", " ", *(f"f{n}" for n in range(20))]
    more = [Column(name=one, kind="number", minimum=0.0, maximum=9.0) for one in names]
    schema = replace(bundle.schema, columns=(*columns, *more))
    return warmed("churn", 1, "ab" * 32, _Wide(Runner(bundle), schema), statistics=None)


class _Wide:
    """A runner that passes the columns over which its model does not know."""

    def __init__(self, runner, schema):
        self._runner, self.schema = runner, schema
        self._names = [column.name for column in runner.schema.features]
        self.labels = runner.labels

    def predict(self, tensors):
        return self._runner.predict({name: tensors[name] for name in self._names})


@pytest.mark.slow
def test_a_person_tries_a_prediction_by_keyboard_alone(make_served, make_client, serve_here, tab):
    client = make_client(make_served(number=7), tokens={"a": "s3cret-of-a"})
    url, _ = serve_here(client.app)
    tab.look(1280, 900)
    tab.open(url)
    tab.wait("document.activeElement.id === 'token'")
    tab.write("not-the-token")
    tab.press("Enter")
    tab.wait("!document.getElementById('token-error').hidden")
    assert "does not know" in tab.text("#token-error")
    assert tab.ask("sessionStorage.length") == 0
    tab.wait("document.activeElement.id === 'token'")
    tab.write("s3cret-of-a")
    tab.press("Enter")
    tab.wait("!document.getElementById('model').hidden")
    assert tab.text("#name") == "churn"
    assert "Version 7" in tab.text("#served")
    assert "No monitor" in tab.text("#drift-text")
    for _ in range(60):  # on from the top of the page to the first field
        if tab.ask("document.activeElement.id") == "field-0":
            break
        tab.press("Tab")
    assert tab.ask("document.activeElement.labels[0].innerText") == "age"
    assert tab.ask("document.activeElement.value") == "49"
    tab.ask("document.activeElement.select()")
    tab.write("100")
    tab.press("Enter")
    tab.wait("document.querySelector('#why table') !== null")
    assert tab.text("#verdict").startswith("yes with 73.1 %")  # 1 / (1 + e^-1)
    assert tab.text("#why tbody tr th").startswith("age")
    assert "yes, with 73.1 %" in tab.text("#spoken")
    # explained is the row that was sent, whatever is written into the form meanwhile
    tab.ask("document.getElementById('field-0').value = '7'")
    tab.ask("document.getElementById('class').dispatchEvent(new Event('change'))")
    tab.wait("document.querySelector('#why table') !== null")
    assert tab.text("#why tbody tr th").split() == ["age", "100"]
    tab.wait("document.querySelector('#tiles dd:nth-of-type(1)') !== null")
    # what is wrong is told beside its field, which gets the focus
    tab.ask("document.activeElement.select()")
    tab.press("Backspace")
    tab.press("Enter")
    assert "needed here" in tab.text("#field-0-error")
    assert tab.ask("document.activeElement.getAttribute('aria-invalid')") == "true"
    tab.write("1e39")
    tab.press("Enter")
    tab.wait("document.getElementById('field-0-error').innerText.includes('between')")
    assert tab.ask("document.activeElement.id") == "field-0"
    assert tab.ask("document.documentElement.scrollWidth <= 1280")
    refusals = [one for one in tab.said if "401" not in one and "422" not in one]
    assert refusals == []


@pytest.mark.slow
def test_names_are_shown_as_they_are_and_a_phone_holds_the_page(
    hostile, make_client, serve_here, tab
):
    url, server = serve_here(make_client(hostile).app)
    tab.look(360, 740, dark=True)
    tab.open(url)
    tab.wait("!document.getElementById('model').hidden")
    shown = "[...document.querySelectorAll('.field')].filter(one => one.offsetHeight).length"
    assert tab.ask(shown) == 24
    tab.ask("document.getElementById('find').focus()")
    tab.write("img src")
    tab.wait(f"{shown} === 1")
    assert HOSTILE in tab.text("#fields .field:not([hidden]) label")
    tab.ask("document.getElementById('find').value = ''; document.getElementById('more').click()")
    assert tab.ask(shown) == 31
    city = "[...document.querySelectorAll('#fields input[list]')][0]"
    tab.ask(f"{city}.focus(); {city}.select()")
    tab.write("town 99")
    assert tab.ask(f"{city}.list.options.length") == 50
    tab.ask("document.getElementById('predict').click()")
    tab.wait("document.querySelector('#why table') !== null")
    assert tab.ask("document.querySelectorAll('#main img').length") == 0
    assert tab.ask("document.documentElement.scrollWidth") <= 360
    colours = "getComputedStyle(document.body).backgroundColor"
    assert tab.ask(f"{colours}.match(/\\d+/g).every(one => Number(one) < 64)")
    assert tab.said == []
    server.should_exit = server.force_exit = True
    tab.wait("!document.getElementById('notice').hidden")
    assert "does not answer" in tab.text("#notice")


TIMERS = """
const began = setTimeout, ended = clearTimeout;
window.waiting = new Set();
window.setTimeout = (work, delay, ...more) => {
  const number = began(() => { window.waiting.delete(number); work(...more); }, delay);
  if (delay === 5000) window.waiting.add(number);
  return number;
};
window.clearTimeout = number => { window.waiting.delete(number); ended(number); };
"""
"""Counts the looks that a page has before it."""


class Judged(Watcher):
    """A monitor that knows how well calibrated answers are, and that predictions drifted."""

    def watch(self, version, statistics, *, target=None, champion=True): ...

    def tell(self, batch): ...

    def report(self):
        ends = {"level": 0.95, "low": 0.03, "high": 0.05, "value": 0.0412, "n": 1234}
        test = {"value": 0.0123, "n": 1409}
        judged = {"measure": "calibration_error", **ends, "worse": True, "test": test}
        quality = {**ends, "metric": "roc_auc", "direction": "maximize", "calibration": judged}
        seen = {"statistic": 0.5, "threshold": 0.1, "drifted": True, "reasons": ["location"]}
        return {
            "version": 1,
            "window": {
                "rows": 1000,
                "filled": 7,
                "complete": 1,
                "drifted": 1,
                "closed_at": 60.0,
                "last": {"rows": 900, "from": 0.0, "to": 60.0},
                "open": {"rows": 7, "from": 61.0},
            },
            "features": {"age": {**seen, "early": ["location"], "streak": 0}},
            "labels": {"labels": 9, "joined": 4, "orphaned": 2, "unsampled": 3, "too_late": 0},
            "prediction": {**seen, "streak": 1, "against": "test rows", "reference_rows": 1409},
            "quality": quality,
        }


@pytest.mark.slow
def test_calibration_and_what_predictions_are_held_against_are_shown(make_client, serve_here, tab):
    url, _ = serve_here(make_client(watcher_for=lambda name: Judged()).app)
    tab.open(url)
    tab.wait("document.getElementById('quality').innerText.includes('0.0123')")
    shown = " ".join(tab.text("#quality").split())
    assert "calibration error 0.0412 95 % sure: 0.03 to 0.05" in shown
    assert "0.0123 on 1409 test rows; surely worse than on test rows" in shown
    assert "the predictions, against those on test rows" in tab.text("#drift")
    assert "moved to one side (in the open window)" in tab.text("#drift")
    told = tab.text("#drift-text")
    assert "The last complete window has 900 rows, from Jan 1, 1970, " in told
    assert "The next window holds 7 of 1000 rows so far, from Jan 1, 1970, " in told
    strays = "9 labels came: 4 joined, 2 of no known id, 3 of predictions that were not sampled"
    assert strays in shown
    assert " 5xx" in " ".join(tab.text("#served").split())
    assert tab.said == []


CANARY = """import(document.scripts[0].src.replace('page.js', 'live.js')).then(live => {
  const latency = {p50: 0.001, p95: 0.002, p99: 0.003};
  const one = {number: 2, role: "canary", share: 0.25, requests: 5000, refused: 50, failed: 100,
    latency: {...latency, p99: 7}, trial: {requests: 40, failed: 10, latency}};
  live.showServed({versions: [one], release: {replicas: 1, refused: [], note: ""}});
  return document.getElementById("served").innerText;
})"""


@pytest.mark.slow
def test_a_canary_is_shown_by_what_it_answered_since_it_is_one(make_client, serve_here, tab):
    url, _ = serve_here(make_client().app)
    tab.open(url)
    tab.wait("document.querySelector('#served li') !== null")
    shown = " ".join(tab.ask(CANARY).split())
    assert "Requests as the canary 40 5000 in all Failed 25 % 99 % within 3 ms" in shown


@pytest.mark.slow
def test_a_phone_shows_each_version_whole_and_what_a_loop_did(make_client, serve_here, tab):
    made = {"created": "2026-01-02T03:04:05+00:00", "number": 1}
    version = {"blessed": True, "bytes": 123456, "family": "lightgbm", "metric": "roc_auc"}
    promoted = {"sequence": 1, "action": "promote", "reason": "no worse", "who": "raymm keep"}
    steps = [
        {"sequence": 3, "action": "reject", "reason": "no better", **made, "number": None},
        {"sequence": 2, "action": "promote", "reason": "no worse", **made},
        {"sequence": 1, "action": "train", "reason": "age drifted", **made, "number": None},
    ]
    told = {
        "versions": [{**version, **made, "score": 0.9, "score_low": 0.8, "score_high": 0.95}],
        "changes": [promoted | made],
        "steps": steps,
        "keeper": "ann@desk",
    }
    client = make_client()
    client.app.state.models.history = lambda name: told
    url, _ = serve_here(client.app)
    tab.look(390, 800)
    tab.open(url)
    tab.wait("document.querySelector('#versions td') !== null")
    region = "document.querySelector('[aria-labelledby=versions-title]')"
    assert tab.ask(f"{region}.scrollWidth <= {region}.clientWidth")
    cells = "[...document.querySelectorAll('#versions td')]"
    labels = f"{cells}.map(one => getComputedStyle(one, '::before').content).join()"
    assert '"Family","Size","Made"' in tab.ask(labels)
    shown = tab.text("#changes")
    assert [shown.count(one) for one in ("Training began again", "no better", "no worse")] == [
        1, 1, 1,
    ]  # fmt: skip
    assert "run by ann@desk. Its last step: reject" in tab.text("#quality")
    assert tab.said == []


@pytest.mark.slow
def test_the_page_looks_again_only_while_it_is_seen(make_client, serve_here, tab):
    url, _ = serve_here(make_client().app)
    tab.call("Page.addScriptToEvaluateOnNewDocument", source=TIMERS)
    tab.look(1280, 900)
    tab.open(url)
    tab.wait("waiting.size === 1")
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    hide += "document.dispatchEvent(new Event('visibilitychange'))"
    tab.ask(hide % "true")
    assert tab.ask("waiting.size") == 0
    tab.ask(hide % "false")
    tab.wait("waiting.size === 1")
    tab.ask("document.getElementById('pause').click()")
    assert tab.ask("waiting.size") == 0
    assert tab.text("#pulse").startswith("Paused")
    tab.ask(hide % "true")
    tab.ask(hide % "false")
    assert tab.ask("waiting.size") == 0
    tab.ask("document.getElementById('pause').click()")
    tab.wait("waiting.size === 1")
    assert tab.said == []


@pytest.mark.slow
def test_a_service_without_a_model_says_how_to_get_one(serve_here, tab):
    from raymm.sections import ServingConfig
    from raymm.serving.app import create_app
    from raymm.serving.sources import FixedModels

    url, _ = serve_here(create_app(FixedModels(), config=ServingConfig(), tokens={}))
    tab.open(url)
    tab.wait("!document.getElementById('empty').hidden")
    assert "raymm deploy" in tab.text("#empty")
    assert tab.said == []


@pytest.mark.slow
def test_the_documentation_shows_each_path_with_the_token_of_the_page(
    hostile, make_client, serve_here, tab
):
    url, _ = serve_here(make_client(hostile, tokens={"a": "s3cret-of-a"}).app)
    tab.look(360, 740)
    tab.open(f"{url}/docs")
    tab.wait("document.activeElement.id === 'token'")
    tab.write("s3cret-of-a")
    tab.press("Enter")
    tab.wait("!document.getElementById('docs').hidden")
    told = tab.text("#paths")
    assert "/v1/models/churn/predict" in told
    assert HOSTILE in tab.ask("document.getElementById('paths').textContent")
    assert tab.ask("document.documentElement.scrollWidth") <= 360
    tab.open(url)
    tab.wait("!document.getElementById('model').hidden")  # it is not asked for again
    assert [one for one in tab.said if "401" not in one] == []

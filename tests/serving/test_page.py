"""The page at ``/``: its files and headers, and the page itself in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from raymm.serving.page import FOLDER, POLICY

FILES = sorted(path.name for path in FOLDER.iterdir())


def test_the_page_needs_no_token_and_holds_nothing_of_the_models(make_client, make_served):
    client = make_client(make_served("secret-model"), tokens={"a": "s3cret"})
    page = client.get("/", headers={"accept": "text/html,application/json;q=0.9"})
    assert page.status_code == client.get("/").status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for answer in (page, *(client.get(f"/assets/{name}") for name in FILES)):
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
    page = names["index.html"]
    for found in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert found.startswith("#") or found == "docs" or (FOLDER.parent / found).is_file()
    assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)", page)
    for name, text in names.items():
        addresses = set(re.findall(r"https?://[^\s\"')]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name
        written = r"innerHTML\s*=|outerHTML\s*=|insertAdjacentHTML|document\.write|\beval\("
        assert not re.search(written, text), name
        for module in re.findall(r'from "\./([^"]*)"', text):
            assert module in names


def test_every_element_that_the_scripts_name_is_on_the_page():
    page = (FOLDER / "index.html").read_text()
    ids = re.findall(r'\sid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    scripts = "".join(path.read_text() for path in FOLDER.glob("*.js"))
    assert set(re.findall(r'by\("([\w-]+)"\)', scripts)) <= set(ids)
    for named in re.findall(r'(?:for|aria-(?:labelledby|describedby|controls))="([^"]*)"', page):
        assert set(named.split()) <= set(ids)
    assert {path.suffix for path in map(Path, FILES)} == {".html", ".css", ".js", ".svg"}

"""Doubtful rows are read back as they were written."""

from __future__ import annotations

import json

from raymm.artifacts import Doubt, Doubts, as_record, from_record


def test_doubts_are_read_back_equal():
    worst = (Doubt(row=7, given="no", likelier="yes", measure=0.001),)
    found = Doubts(looked=800, found=3, worst=worst)
    assert from_record(Doubts, json.loads(json.dumps(as_record(found)))) == found

from __future__ import annotations

import json

from raymm.artifacts import Wish, as_record, from_record


def test_a_wish_comes_back_from_its_record() -> None:
    wish = Wish(numbers=(3, 4), told="ann@desk", source="new.csv", claim="c", tries=2)
    assert from_record(Wish, json.loads(json.dumps(as_record(wish)))) == wish

import re
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.errors import InputError
from raymm.serving import identity
from raymm.serving.identity import agreed, claimed, identities, require_row_name, row_names


def test_names_of_two_processes_differ_and_could_be_told_back():
    names = [*islice(identities(), 1000), *islice(identities(), 1000)]
    assert len(set(names)) == 2000
    for name in names:
        assert claimed(name, "other") == name


@given(st.text())
def test_a_name_is_taken_as_it_is_or_refused(text):
    assert claimed(None, "other") == "other"
    if re.fullmatch(identity.PATTERN, text) and not text.endswith("\n"):
        assert claimed(text, "other") == text
    else:
        with pytest.raises(InputError, match="id must be"):
            claimed(text, "other")


@pytest.mark.parametrize("given", ["", 7, True, [], {}, "a" * 65, "a b", "é", "a\n", "a\r\nb: c"])
def test_what_cannot_be_a_name(given):
    with pytest.raises(InputError):
        claimed(given, "other")


def test_a_body_and_a_header_may_not_give_two_names():
    assert agreed(None, None, "other") == "other"
    assert agreed("a", None, "other") == agreed(None, b"a", "other") == agreed("a", b"a", "") == "a"
    with pytest.raises(InputError, match=r"""id must be "b", as the header .* but got 'a'"""):
        agreed("a", b"b", "other")


def test_every_row_of_the_largest_request_has_a_name_that_feedback_takes():
    names = row_names("a" * identity.LONGEST, 3)
    assert len(set(names)) == 3
    assert [require_row_name(name, "id") for name in names] == list(names)
    assert require_row_name("a" * identity.LONGEST + "-99999999999", "id")
    with pytest.raises(InputError, match=re.escape("labels[3].id")):
        require_row_name(None, "labels[3].id")


def test_one_name_tells_nothing_of_the_next():
    first, second = islice(identities(), 2)
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 12

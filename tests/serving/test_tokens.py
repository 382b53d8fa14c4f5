import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raymm.errors import ConfigError, Unauthorized
from raymm.serving.tokens import Guard

TOKEN = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1)


@given(st.dictionaries(st.text(), TOKEN, min_size=1, max_size=3), st.binary(max_size=30))
def test_only_known_tokens_are_admitted(tokens, other):
    guard = Guard(tokens)
    for token in tokens.values():
        assert tokens[guard.admit(b"Bearer " + token.encode())] == token
    assume(other.strip() not in {token.encode() for token in tokens.values()})
    for header in (other, b"Bearer " + other, None):
        with pytest.raises(Unauthorized):
            guard.admit(header)


def test_no_tokens_admit_all():
    assert Guard({}).admit(None) == ""


def test_an_empty_token_is_refused():
    with pytest.raises(ConfigError, match="bob"):
        Guard({"alice": "x", "bob": " "})

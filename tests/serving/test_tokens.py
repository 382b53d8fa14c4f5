import logging
import os

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raymm.errors import ConfigError, Unauthorized
from raymm.sections import ServingConfig
from raymm.serving.tokens import LEAST, Guard, TokenFile, guard_of, token_alone

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


A, B, C = ("a" * LEAST, "b" * LEAST, "c" * LEAST)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def _admitted(guard, *tokens):
    names = []
    for token in tokens:
        try:
            names.append(guard.admit(b"Bearer " + token.encode()))
        except Unauthorized:
            names.append(None)
    return names


@pytest.fixture
def clock():
    return Clock()


def test_a_file_is_read_again_when_it_changes(tmp_path, clock, caplog):
    path = tmp_path / "tokens"
    path.write_text(f"# who\nalice: {A}\n\nbob:{B}\n")
    guard = Guard({"fixed": "s3cret"}, TokenFile(str(path), clock=clock))
    assert _admitted(guard, A, B, C, "s3cret") == ["alice", "bob", None, "fixed"]
    (tmp_path / "new").write_text(f"bob: {C}\n")
    os.replace(tmp_path / "new", path)
    assert _admitted(guard, A, C) == ["alice", None]  # not looked at again within a second
    clock.now = 1.5
    with caplog.at_level(logging.WARNING):
        assert _admitted(guard, A, B, C, "s3cret") == [None, None, "bob", "fixed"]
    assert "bob" in caplog.text
    assert not any(token in caplog.text for token in (A, B, C))


@pytest.mark.parametrize("broken", [b"bob", b"", b"bob: short", b"\xff: " + A.encode(), None])
def test_a_file_that_cannot_be_read_leaves_the_tokens_as_they_were(tmp_path, clock, caplog, broken):
    path = tmp_path / "tokens"
    path.write_text(f"alice: {A}")
    guard = Guard({}, TokenFile(str(path), clock=clock))
    path.unlink() if broken is None else path.write_bytes(broken)
    clock.now = 2
    with caplog.at_level(logging.ERROR):
        assert _admitted(guard, A, "short") == ["alice", None]
        clock.now = 4
        assert _admitted(guard, A) == ["alice"]
    assert caplog.text.count("stay as they were") == 1  # and not each second
    path.write_text(f"alice: {B}")
    clock.now = 6
    assert _admitted(guard, A, B) == [None, "alice"]
    path.unlink()
    clock.now = 8
    with caplog.at_level(logging.ERROR):
        assert _admitted(guard, B) == ["alice"]
    assert caplog.text.count("stay as they were") == 2


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_token_may_stand_in_quotes(tmp_path, clock, quote):
    (tmp_path / "tokens").write_text(f"alice: {quote}{A}{quote}\nbob: {quote}{B}\n")
    guard = Guard({}, TokenFile(str(tmp_path / "tokens"), clock=clock))
    assert _admitted(guard, A, B, quote + B) == ["alice", None, "bob"]


def test_a_comma_ends_no_line_of_a_file(tmp_path, clock):
    """Else who was taken out in a comment would be let in, and tokens could hold no comma."""
    (tmp_path / "tokens").write_text(f"alice: {A},{A}\n# gone in May, bob: {B}\r\ncarol: {C}\r\n")
    guard = Guard({}, TokenFile(str(tmp_path / "tokens"), clock=clock))
    assert _admitted(guard, f"{A},{A}", A, B, C) == ["alice", None, None, "carol"]


def test_a_folder_has_one_file_a_token(tmp_path, clock):
    (tmp_path / "alice").write_text(A + "\n")
    (tmp_path / ".hidden").write_text("x")
    guard = Guard({}, TokenFile(str(tmp_path), clock=clock))
    (tmp_path / "bob").write_text(B)
    clock.now = 2
    assert _admitted(guard, A, B) == ["alice", "bob"]


@pytest.mark.parametrize(
    "text",
    ["", "# none", "alice", f"alice: {A}\nalice: {B}", f"al ice: {A}", "alice: short", "alice:",
     f": {A}", f"alice: {A} {A}", f"alice: {A}\x00", "alice: " + "é" * LEAST],
)  # fmt: skip
def test_what_is_no_file_of_tokens(tmp_path, text):
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        TokenFile(str(path))
    assert A not in str(caught.value)


def test_a_file_that_is_too_large_or_away(tmp_path):
    with pytest.raises(ConfigError, match="readable"):
        TokenFile(str(tmp_path / "none"))
    (tmp_path / "large").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ConfigError, match="larger"):
        TokenFile(str(tmp_path / "large"))


def test_where_the_tokens_of_a_service_come_from(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"carol: {C}")
    environ = {"RAYMM_TOKENS": f"alice: {A}, bob: {B}"}
    config = ServingConfig(tokens=str(path))
    guard = guard_of(config, {"given": "s3cret"}, environ)
    assert _admitted(guard, A, B, C, "s3cret") == ["alice", "bob", "carol", "given"]
    assert guard_of(ServingConfig(), {}, {}) is None
    assert guard_of(ServingConfig(auth="none"), {}, environ) is None
    with pytest.raises(ConfigError, match="RAYMM_TOKENS"):
        guard_of(ServingConfig(), {}, {"RAYMM_TOKENS": "alice: short"})
    with pytest.raises(ConfigError, match="RAYMM_TOKENS must hold a token"):
        guard_of(ServingConfig(), {}, {"RAYMM_TOKENS": "# none"})


def test_a_token_without_a_name_is_as_long_as_others():
    assert token_alone({}) == token_alone({"RAYMM_TOKEN": ""}) == ""
    assert token_alone({"RAYMM_TOKEN": f"{A}\n"}) == A
    for wrong in (A[1:], f" {A[1:]} ", f"{A} {A}", "\u00e9" * LEAST, " "):
        with pytest.raises(ConfigError, match="RAYMM_TOKEN must have 16 ") as found:
            token_alone({"RAYMM_TOKEN": wrong})
        assert found.value.exit_code == 2
        assert A[1:] not in str(found.value)

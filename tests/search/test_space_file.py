import pytest

from raymm.errors import ConfigError
from raymm.search import space_file


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["must map names"]),
        ("[1, 2]", ["must map names"]),
        ("lr: 3", ["lr", "3", "float, int or choice"]),
        ("lr: {flaot: [0, 1]}", ["lr", "flaot", 'Did you mean "float"?']),
        ("lr: {float: [0, 1], int: [0, 1]}", ["lr", "exactly one"]),
        ("lr: {log: true}", ["lr", "exactly one"]),
        ("lr: {float: [1, 0]}", ["lr", "low=1.0", "high=0.0"]),
        ("lr: {float: [0, 1], log: true}", ["lr", "above 0", "low=0.0"]),
        ("lr: {float: [0, 1], log: maybe}", ["lr", "log", "maybe"]),
        ("lr: {float: [0]}", ["lr", "two bounds", "[0]"]),
        ("lr: {float: [a, b]}", ["lr", "number", "'a'"]),
        ("lr: {float: [.inf, 1]}", ["lr", "number", "inf"]),
        ("n: {int: [0.5, 2]}", ["n", "whole", "0.5"]),
        ("s: {choice: []}", ["s", "one or more"]),
        ("s: {choice: [a, a]}", ["s", "different"]),
        ("s: {choice: a}", ["s", "list", "'a'"]),
        ("s: {choice: [a], log: true}", ["s", "log", "remove"]),
        ("s: {choice: [a], when: b}", ["s", "when", "'b'"]),
    ],
)
def test_errors_name_the_key_the_value_and_the_rule(tmp_path, text, words) -> None:
    path = tmp_path / "my-space.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        space_file.parameters(space_file.load(path), str(path))
    for word in ["my-space.yaml", *words]:
        assert word in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"there is no space file .*nowhere\.yaml\. It holds"):
        space_file.load(tmp_path / "nowhere.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("{a: [")
    with pytest.raises(ConfigError, match=r"bad\.yaml is not valid YAML at line 1, column"):
        space_file.load(bad)
    with pytest.raises(ConfigError, match=r'Did you mean ".*/bad\.yaml"'):
        space_file.load(tmp_path / "bad.yml")
    with pytest.raises(ConfigError, match="is a folder"):
        space_file.load(tmp_path)
    bad.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        space_file.load(bad)

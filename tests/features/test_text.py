import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raymm.artifacts import Column
from raymm.features.text import COUNTED, LARGEST, ScaledText, Text
from raymm.features.words import MARKS

COLUMN = Column(name="t", kind="text")
PIECES = st.sampled_from(
    ["free", "FREE", "Call", "ÄÖ", "İ", "12345", "!", "\x01", "www.x", "£", "é", "你", "_", "\\"]
)
GAPS = st.sampled_from([" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\x0b", "\0", "\x02", "\u3000"])
ANY = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
TEXTS = st.lists(ANY | st.lists(PIECES | GAPS, max_size=8).map("".join), min_size=1, max_size=12)


def array(texts):
    return np.array(texts, dtype=object)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Text, ScaledText])
@given(train=TEXTS, values=TEXTS)
@example(train=["a b", "a", "a"], values=[""])
@example(train=["a\nb", "a", "a\tb"] * 3, values=["", ""])
@example(train=["A1", "b"], values=["A1" * 300, "[A-Z]", "\x02 \x01"])
@settings(max_examples=60, deadline=None)
def test_graph_equals_transform_for_any_text(run_graph, kind, train, values):
    part = kind(COLUMN).fit(array(train * 3), np.arange(len(train) * 3) % 2)
    expected = part.transform(array(values))
    assert expected.shape == (len(values), len(part.names))
    np.testing.assert_array_equal(run_graph(part, array(values)), expected)


UNSPACED = {
    "Chinese": ("房间很{}，早餐还可以。", "干净", "太脏"),
    "Japanese": ("この店は{}です。", "親切", "高い"),
    "Thai": ("ห้องนี้{}มาก", "สะอาด", "แพง"),
    "Khmer": ("បន្ទប់{}ណាស់", "ស្អាត", "ថ្លៃ"),
    "links": ("https://www.{}.example/a?b", "shop", "news"),
    "formulas": ("CC(=O)N({})c1ccccc1O", "F", "Br"),
}


@pytest.mark.parametrize("kind", [Text, ScaledText])
@pytest.mark.parametrize("script", UNSPACED)
def test_graph_equals_transform_and_tells_apart_what_has_no_blanks(run_graph, kind, script):
    form, *ends = UNSPACED[script]
    y = np.arange(40) % 2
    texts = array([f"{form.format(ends[label])}/{i // 2}" for i, label in enumerate(y)])
    part = kind(COLUMN).fit(texts, y)
    made = part.transform(texts)
    np.testing.assert_array_equal(run_graph(part, texts), made)
    assert max(abs(np.corrcoef(c, y)[0, 1]) for c in made.T if np.ptp(c)) > 0.99


def test_words_that_tell_classes_apart_are_kept_first():
    generator = np.random.default_rng(0)
    noise = [f"noise{i}" for i in range(LARGEST + 200)]
    y = np.arange(400) % 2
    texts = array(
        [" ".join([*generator.choice(noise, size=20), ("good", "bad")[label]]) for label in y]
    )
    for kind, most in ((ScaledText, LARGEST), (Text, COUNTED)):
        part = kind(COLUMN).fit(texts, y)
        assert len(part.vocabulary) == most
        assert {"good", "bad"} <= set(part.vocabulary)


def test_counts_and_marks_are_read_off_the_text():
    train = array(["win win £5 now!", "hello YOU", "win now WWW.x.org"] * 3)
    part = Text(COLUMN).fit(train, np.arange(9) % 3)
    row = dict(zip(part.names, part.transform(array(["WIN win win,\nyou 77!"]))[0], strict=True))
    assert row['t has "win"'] == 3
    assert row['t has "!"'] == 1
    assert row['t has "£"'] == 0
    assert row["t words"] == 7
    assert row["t digits"] == 2
    assert row["t capitals"] == 3
    assert row["t has capitals"] == 1
    assert row["t has link"] == 0
    assert set(part.marks) <= set(MARKS)


def test_weights_follow_the_formula():
    train = array(["a b", "a", "a c c", "b"] * 3)
    part = ScaledText(COLUMN).fit(train, np.arange(12) % 2)
    row = dict(zip(part.names, part.transform(array(["b a a zz"]))[0], strict=True))
    # 12 texts, "a" in 9 of them, four words in the text.
    assert row['t has "a"'] == pytest.approx((1 + np.log(13 / 10)) / np.sqrt(5), rel=1e-6)
    assert row['t has "c"'] == 0


def test_sms_like_classes_are_separated_by_a_plain_logistic_regression():
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(1)
    common, telling = [f"w{i}" for i in range(200)], [f"s{i}" for i in range(30)]
    y = generator.integers(0, 2, size=600)
    texts = array(
        [
            " ".join(generator.choice(common, size=8).tolist())
            + (" " + " ".join(generator.choice(telling, size=2).tolist()) if label else "")
            for label in y
        ]
    )
    part = ScaledText(COLUMN).fit(texts[:400], y[:400])
    model = LogisticRegression(C=10).fit(part.transform(texts[:400]), y[:400])
    assert roc_auc_score(y[400:], model.decision_function(part.transform(texts[400:]))) > 0.98


@pytest.mark.slow
def test_words_are_chosen_by_ratings_most_of_which_are_the_best():
    generator = np.random.default_rng(0)
    noise = [f"a{i:04}" for i in range(1500)]
    y = np.where(np.arange(2000) < 1100, 5.0, 1.0 + np.arange(2000) % 4)
    ends = np.where(y == 5.0, "zzgood", "zzbad")
    texts = array([" ".join([*generator.choice(noise, 8), end]) for end in ends])
    assert {"zzgood", "zzbad"} <= set(Text(COLUMN).fit(texts, y).vocabulary)

import numpy as np
import pytest

from raymm.data.prose import is_text

N = 60
PIECES = {
    "Chinese": ["房间很干净", "服务态度差", "早餐不错", "离地铁近", "价格太贵"],
    "Japanese": ["とても美味しい", "店員が親切", "値段が高い", "また行きたい", "静かな部屋"],
    "Thai": ["อาหารอร่อยมาก", "บริการไม่ดี", "ราคาแพงเกินไป", "ห้องสะอาด", "ใกล้รถไฟฟ้า"],
    "English": ["the room is clean ", "service was poor ", "good breakfast ", "too dear "],
}
CODES = {
    "letters and digits": [f"K-{i:05d}" for i in range(N)],
    "Chinese with digits": [f"编号{i:04d}" for i in range(N)],
    "domains": [f"shop{i}.example.org" for i in range(N)],
    "formulas": [f"CC(=O)N{i}c1ccccc1O" for i in range(N)],
}


def sentences(pieces: list[str]) -> list[str]:
    rng = np.random.default_rng(0)
    made = ("".join(rng.choice(pieces, 4)) for _ in range(10 * N))
    return list(dict.fromkeys(made))[:N]


@pytest.mark.parametrize("script", PIECES)
def test_sentences_are_text_with_blanks_between_words_or_without(script: str) -> None:
    words = sentences(PIECES[script])
    assert is_text(words, np.ones(len(words), dtype=np.int64))
    # Names of groups repeat, and are short.
    few = PIECES[script]
    assert not is_text(few, np.full(len(few), 20, dtype=np.int64))


@pytest.mark.parametrize("kind", CODES)
def test_codes_are_no_text_although_each_row_has_its_own(kind: str) -> None:
    assert not is_text(CODES[kind], np.ones(N, dtype=np.int64))


def test_long_texts_may_repeat() -> None:
    words = [word * 3 for word in sentences(PIECES["Chinese"])]
    often = np.full(len(words), 9, dtype=np.int64)
    assert is_text(words, often)
    assert not is_text([word[:8] for word in words], often)

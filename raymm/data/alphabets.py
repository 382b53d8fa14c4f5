"""Finds out in which encoding text is written that is not Unicode, by the letters it makes.

Any bytes can be read in most of the old encodings. Only the right one gives letters that are
frequent in a language; where none stands out, text is Western.
"""

from __future__ import annotations

import re

_SAMPLE = 64 * 1024
_LEAST = 8
"""Letters outside ASCII from which an alphabet can be told."""

_CYRILLIC = frozenset("оеаинтсрвл")
_GREEK = frozenset("αοιετσνηυρ")
_FREQUENT = {
    "cp1251": _CYRILLIC,
    "koi8-r": _CYRILLIC,
    "cp866": _CYRILLIC,
    "cp1253": _GREEK,
}
"""The ten letters that make up about two thirds of a text in each language."""

_SHARE = 0.5
_RUN = re.compile(rb"[\x80-\xff]+")
_BETWEEN = re.compile("(?<=[A-Za-z])[¹³¿¼¾»£¥¡¦¶±](?=[A-Za-z])")
"""Signs within words, which in Central Europe's alphabet (cp1250) are letters."""


def alphabet(data: bytes) -> str:
    r"""Return the name of the encoding of bytes that are text and no Unicode; cp1252 by default.

    Told apart are Japanese (Shift-JIS, EUC), Korean, Chinese (GBK, Big5), Russian (cp1251, KOI8,
    cp866), Greek, Polish (cp1250) and Western text. Frequencies of letters are those of any
    larger text of the language.

    >>> alphabet("город,улица\nСаратов,Советская".encode("cp1251"))
    'cp1251'
    >>> alphabet("Besançon, Orléans, Saint-Étienne, Köln, «Ça va»".encode("cp1252"))
    'cp1252'
    """
    sample = _foreign_lines(data)
    return _asian(sample) or _lettered(sample) or _central(sample) or "cp1252"


def _foreign_lines(data: bytes) -> bytes:
    """Return lines that hold bytes outside ASCII, 64 KiB of them or a little more."""
    lines: list[bytes] = []
    size = place = 0
    while size < _SAMPLE and (match := _RUN.search(data, place)):
        start = max(data.rfind(b"\n", place, match.start()) + 1, place)
        end = data.find(b"\n", match.end())
        end = len(data) if end < 0 else end
        lines.append(data[start:end][: 4 * _SAMPLE])
        size, place = size + len(lines[-1]), end
    return b"\n".join(lines)


def _read(sample: bytes, encoding: str) -> list[str]:
    """Return the characters outside ASCII, or none where the bytes are not of the encoding."""
    try:
        text = sample.decode(encoding)
    except UnicodeDecodeError:
        return []
    return [letter for letter in text if letter > "\x7f"]


def _share(letters: list[str], *ranges: tuple[str, str]) -> float:
    held = sum(any(low <= letter <= high for low, high in ranges) for letter in letters)
    return held / len(letters) if len(letters) >= _LEAST // 2 else 0.0


def _asian(sample: bytes) -> str:
    for encoding in ("cp932", "euc_jp"):
        if _share(_read(sample, encoding), ("\u3041", "\u30fe")) >= 0.2:  # kana
            return encoding
    if _share(_read(sample, "euc_kr"), ("\uac00", "\ud7a3")) >= 0.9:
        return "euc_kr"
    # The first rows of both hold the frequent characters; Western letters are no such pairs.
    for encoding, plain, low, high in (
        ("gb18030", "gb2312", 0xB0, 0xD7),
        ("big5", "big5", 0xA4, 0xC6),
    ):
        letters = _read(sample, plain)
        leads = [letter.encode(plain)[0] for letter in letters]
        common = sum(low <= lead <= high for lead in leads)
        if len(leads) >= _LEAST // 2 and common >= 0.7 * len(leads):
            return encoding
    return ""


def _lettered(sample: bytes) -> str:
    """Return the encoding whose letters are frequent ones, where whole words are foreign."""
    runs = [len(run) for run in _RUN.findall(sample)]
    if sum(runs) < _LEAST or sum(run for run in runs if run >= 3) < 0.7 * sum(runs):
        return ""
    best, most = "", _SHARE
    for encoding, frequent in _FREQUENT.items():
        letters = [letter.casefold() for letter in _read(sample, encoding) if letter.isalpha()]
        share = sum(letter in frequent for letter in letters) / max(1, sum(runs))
        if share > most:
            best, most = encoding, share
    return best


def _central(sample: bytes) -> str:
    foreign = _read(sample, "latin-1")
    signs = len(_BETWEEN.findall(sample.decode("latin-1")))
    letters = _read(sample, "cp1250")
    return "cp1250" if letters and signs >= max(2, 0.1 * len(foreign)) else ""

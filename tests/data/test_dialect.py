import csv
import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.data.dialect import DELIMITERS, after, layout, sample_of, spaced
from raymm.data.findings import Findings


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 999), st.floats(0, 1), st.sampled_from(["ab", "cd", "e f"])),
        min_size=3,
        max_size=12,
    ),
    delimiter=st.sampled_from(sorted(DELIMITERS)),
    title=st.sampled_from(["", "A title\n", "A title\n\n"]),
)
def test_delimiter_header_and_title_are_found(
    rows: list[tuple[int, float, str]], delimiter: str, title: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerows([("one", "two", "three"), *rows])
    how = layout(title + text.getvalue(), Findings())
    assert how.dialect.delimiter == delimiter
    assert how.names == ["one", "two", "three"]
    assert not how.headless
    assert after(title + text.getvalue(), how.above).startswith("one")


def test_semicolons_win_over_decimal_commas_below_a_title() -> None:
    text = "title\na;b\n" + "1,5;2,5\n" * 30
    how = layout(text, Findings())
    assert (how.dialect.delimiter, how.names, how.above) == (";", ["a", "b"], 1)


@pytest.mark.parametrize("mark", [";", "\t", "|"])
@pytest.mark.parametrize("cell", ["{i},50", "-{i},5", "1.0{i},25", "1,2{i},000", "{i},5e-3"])
def test_commas_within_numbers_part_no_cells_without_a_header(mark: str, cell: str) -> None:
    rows = [["2024-01-15 10:00", cell.format(i=10 + i), f"10{i},25"] for i in range(30)]
    for width in (2, 3):
        text = "\n".join(mark.join(row[-width:]) for row in rows)
        how = layout(text, Findings())
        assert (how.dialect.delimiter, how.headless, len(how.names)) == (mark, True, width)


@pytest.mark.parametrize("row", ["{i},5,1;2,7", "{i},a;b,7", "{i},1\t,2"])
def test_commas_part_cells_that_hold_other_marks(row: str) -> None:
    how = layout("\n".join(row.format(i=i) for i in range(30)), Findings())
    assert how.dialect.delimiter == ","


def test_a_rare_mark_parts_cells_where_every_line_has_it() -> None:
    lines = [f"{i}:{7 * i % 31}:{i % 5}" for i in range(30)]
    how = layout("\n".join(["user:item:stars", *lines]), Findings())
    assert (how.dialect.delimiter, how.names) == (":", ["user", "item", "stars"])
    for odd in ("time", "a:b", "a::c", "a:b:c:d"):  # no header, or no table, of three cells
        assert layout("\n".join([odd, *lines]), Findings()).dialect.delimiter == ","


def test_sentences_are_no_columns() -> None:
    how = layout("note\n" + "two words\n" * 9, Findings())
    assert not how.columns
    assert how.names == ["note"]


def test_runs_of_blanks_become_tabs_outside_quotes() -> None:
    assert spaced('  a   b \n1  "x  y"\n') == 'a\tb\n1\t"x  y"\n'
    assert spaced(' "x \n y"  1 ') == '"x \n y"\t1'


@given(lines=st.lists(st.lists(st.sampled_from(["a", "1.5", "\u00fc"]))), quoted=st.booleans())
def test_each_run_of_blanks_is_one_tab(lines: list[list[str]], quoted: bool) -> None:
    written = "\n".join(" \t " + " \t".join(words) + "  " for words in lines)
    made = spaced(written + '\n"q"' * quoted)
    assert made == "\n".join("\t".join(words) for words in lines) + '\n"q"' * quoted


def test_long_runs_of_blanks_take_no_longer() -> None:
    start = time.process_time()
    assert spaced(f"a{' ' * 100_000}b\n" * 3) == "a\tb\n" * 3
    # Milliseconds; two minutes where each blank of a run is a beginning of its own.
    assert time.process_time() - start < 5


def test_a_sample_holds_lines_even_where_they_are_long() -> None:
    text = ("x" * 30_000 + "\n") * 100
    sample = sample_of(text)
    assert 20 <= sample.count("\n") + 1 < 100
    assert sample_of("a\nb") == "a\nb"

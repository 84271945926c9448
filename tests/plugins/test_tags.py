"""Tag schemes by hand tables, and against seqeval's decoding of each scheme."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Entities

from bench.plugins.tags import scheme_of, to_bio

TABLE = {  # in the scheme, and in BIO
    "IOB1": [
        ("I-LOC I-LOC O I-LOC", "B-LOC I-LOC O B-LOC"),
        ("I-LOC B-LOC I-LOC", "B-LOC B-LOC I-LOC"),
        ("I-LOC I-PER O", "B-LOC B-PER O"),
    ],
    "BIO": [("B-LOC I-LOC O B-LOC", "B-LOC I-LOC O B-LOC"), ("B-LOC B-LOC", "B-LOC B-LOC"), ("I-LOC O", "I-LOC O")],
    "BIOES": [
        ("S-LOC S-LOC O", "B-LOC B-LOC O"),
        ("B-LOC I-LOC E-LOC S-PER", "B-LOC I-LOC I-LOC B-PER"),
        ("B-LOC E-LOC B-LOC E-LOC", "B-LOC I-LOC B-LOC I-LOC"),
    ],
    "BILOU": [
        ("U-LOC U-LOC O", "B-LOC B-LOC O"),
        ("B-LOC I-LOC L-LOC U-PER", "B-LOC I-LOC I-LOC B-PER"),
        ("B-LOC L-LOC B-LOC L-LOC", "B-LOC I-LOC B-LOC I-LOC"),
    ],
}


@pytest.mark.parametrize("scheme", TABLE)
def test_tables_by_hand(scheme: str) -> None:
    rows = [tags.split() for tags, _ in TABLE[scheme]]
    assert scheme_of(rows) == scheme
    assert to_bio(rows) == [tuple(tags.split()) for _, tags in TABLE[scheme]]


@pytest.mark.parametrize(
    ("rows", "scheme"),
    [
        (["O O"], "BIO"),
        ([""], "BIO"),
        (["I-x O I-x"], "IOB1"),  # no B- at all
        (["I-x B-x", "O B-x"], "BIO"),  # one B- that IOB1 has not: a stray I- does not make it IOB1
        (["I-x B-x", "B-x"], "BIO"),
        (["I-x B-y"], "BIO"),  # of another type: IOB1 has I-y
        (["O", "U-x"], "BILOU"),
        (["B-x I-x", "S-x"], "BIOES"),
        (["S-x", "U-x"], None),
        (["NN VB"], None),
        (["B-x NN"], None),
        (["B I"], None),
        (["O-x B-x"], None),
        (["B- O"], None),
        (["B-x-y I-x-y"], "BIO"),
    ],
)
def test_the_scheme_is_that_of_all_rows(rows: list[str], scheme: str | None) -> None:
    assert scheme_of([row.split() for row in rows]) == scheme


def test_tags_of_no_entities_are_refused() -> None:
    with pytest.raises(ValueError, match="token_accuracy and token_f1_macro"):
        to_bio([["NOUN", "VERB"]])


Spans = list[tuple[str, int, bool]]  # type, words, whether a word outside comes first
spans = st.lists(st.tuples(st.sampled_from(["LOC", "PER", "a-b"]), st.integers(1, 4), st.booleans()), max_size=6)


def written(found: Spans, scheme: str) -> list[str]:
    """A row of these entities in a scheme, from its definition."""
    single, last = {"BIOES": ("S", "E"), "BILOU": ("U", "L")}.get(scheme, ("B", "I"))
    row: list[str] = []
    for kind, words, apart in found:
        row += ["O"] if apart else []
        if scheme == "IOB1":
            meets = bool(row) and row[-1] != "O" and row[-1][2:] == kind
            row += ["B-" + kind if meets else "I-" + kind] + ["I-" + kind] * (words - 1)
        elif words == 1:
            row.append(f"{single}-{kind}")
        else:
            row += [f"B-{kind}", *[f"I-{kind}"] * (words - 2), f"{last}-{kind}"]
    return row


@given(st.lists(spans, min_size=1, max_size=4), st.sampled_from([("IOB1", IOB1), ("BIOES", IOBES), ("BILOU", BILOU)]))
def test_the_entities_are_those_of_seqevals_strict_decoding(found: list[Spans], scheme: tuple[str, type]) -> None:
    name, decoder = scheme
    rows = [written(each, name) for each in found]
    converted = [list(row) for row in to_bio(rows)]
    before, after = ([entity.to_tuple() for row in Entities(each, reader).entities for entity in row]
                     for each, reader in ((rows, decoder), (converted, IOB2)))  # fmt: skip
    assert before == after
    assert sum(map(len, found)) == len(after)


@given(st.lists(st.lists(st.sampled_from(["O", *(f"{p}-{k}" for p in "BIES" for k in "xy")]), max_size=8), min_size=1))
def test_rows_that_break_bioes_are_read_as_seqeval_reads_them(rows: list[list[str]]) -> None:
    if scheme_of(rows) == "BIOES":
        assert [get_entities(list(row)) for row in to_bio(rows)] == [get_entities(row) for row in rows]

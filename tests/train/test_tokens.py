"""Words are tokenised as they stand in a text, each labelled at its first piece; what is cut is counted."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import tiny as tiny_bert
import tiny_tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plugins.task import Example
from bench.records.record import Truncation
from bench.train.data import IGNORED, encode
from bench.train.model import load_tokenizer
from bench.train.tokens import TRUNCATED

WORDS = ("the", "new", "yorker", "film", "\u200b", "!")  # the fifth is a space without width
BYTE_LEVEL = "the:0 Ġnew:1 Ġyork:2 e r Ġfilm:3 Ġ:4 â Ģ ĭ Ġ:5 !"
TABLES = {
    "bert": "[CLS] the:0 new:1 york:2 ##er film:3 !:5 [SEP]",  # which drops the space
    "roberta": f"<s> {BYTE_LEVEL} </s>",
    "modernbert": f"[CLS] {BYTE_LEVEL} [SEP]",
    "deberta": f"[CLS] {BYTE_LEVEL} [SEP]",
    "deberta-v3": "[CLS] ▁the:0 ▁new:1 ▁york:2 er ▁film:3 ▁:4 [UNK] ▁:5 ! [SEP]",
    "xlm-roberta": "<s> ▁the:0 ▁new:1 ▁york:2 er ▁film:3 ▁:4 <unk> ▁:5 ! </s>",
    "gpt2": BYTE_LEVEL,
}


def with_labels(count: int) -> Any:
    """A task of token classification with that many labels, cut at 200 tokens."""
    labels = tuple("O" if at == 0 else f"B-{at}" for at in range(count))
    return type("Labelled", (type(tiny_bert.task("token-classification")),), {"labels": labels, "max_length": 200})()


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of each family, as a model's folder gives it."""
    folders = {family: tiny_tokenizers.save(family, tmp_path_factory.mktemp(family)) for family in TABLES}
    (folders["gpt2"] / "config.json").write_text('{"model_type": "gpt2"}')  # a decoder needs no padding token
    return {family: load_tokenizer(folder) for family, folder in folders.items()}


@pytest.mark.parametrize("family", TABLES)
def test_pieces_and_labels_are_those_of_a_table_by_hand(family: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[family]
    expected = [piece.partition(":") for piece in TABLES[family].split(" ")]
    data = encode(with_labels(6), [Example(WORDS, tuple(range(6)))], tokenizer)
    assert tokenizer.convert_ids_to_tokens(data.inputs["input_ids"][0].tolist()) == [piece for piece, _, _ in expected]
    labels = [int(label) if label else IGNORED for _, _, label in expected]
    assert data.labels[0].tolist() == labels
    starts = [labels.index(at) if at in labels else TRUNCATED for at in range(6)]
    assert data.word_starts[0].tolist() == starts
    assert data.truncation == Truncation(examples=0, content=0)


@pytest.mark.parametrize("family", TABLES)
@settings(max_examples=30)
@given(
    words=st.lists(
        st.sampled_from([*WORDS, "é", "nu", "", " ", "new york", " film", "'s", "日本", "ﬁlm"]), min_size=1, max_size=9
    )
)
def test_a_word_begins_where_the_text_before_it_ends(family: str, words: list[str], tokenizers: dict[str, Any]) -> None:
    """All these tokenizers split at spaces: a text has the pieces of its beginning and more."""
    tokenizer = tokenizers[family]
    data = encode(with_labels(2), [Example(tuple(words), (1,) * len(words))], tokenizer)
    texts = [" ".join(filter(None, (word.strip() for word in words[:count]))) for count in range(len(words) + 1)]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    first = 0 if family == "gpt2" else 1
    assert data.inputs["input_ids"][0].tolist()[first : first + len(ids[-1])] == ids[-1]
    expected = [
        len(before) + first if len(after) > len(before) else TRUNCATED for before, after in itertools.pairwise(ids)
    ]
    assert data.word_starts[0].tolist() == expected
    assert data.truncation.examples == 0


def test_a_word_that_is_cut_counts_and_one_without_a_piece_does_not(tokenizers: dict[str, Any]) -> None:
    """6 pieces between [CLS] and [SEP]: the new york ##er film !, so the last two words of eight are cut."""
    task = with_labels(2)
    type(task).max_length = 8
    words = ("the", "new", "\u200b", "yorker", "film", "!", "yorker", "the")
    data = encode(task, [Example(words, (0,) * 8), Example(("film",) * 6, (0,) * 6)], tokenizers["bert"])
    assert data.word_starts[0].tolist() == [1, 2, TRUNCATED, 3, 5, 6, TRUNCATED, TRUNCATED]
    assert data.truncation == Truncation(examples=1 / 2, content=2 / 14)


def test_a_tokenizer_that_cuts_at_the_left_loses_the_first_words(tmp_path: Path) -> None:
    task = with_labels(2)
    type(task).max_length = 5
    tokenizer = load_tokenizer(tiny_tokenizers.save("bert", tmp_path, truncation_side="left"))
    data = encode(task, [Example(("the", "new", "yorker", "film", "!"), (0,) * 5)], tokenizer)
    pieces = tokenizer.convert_ids_to_tokens(data.inputs["input_ids"][0].tolist())
    assert pieces == ["[CLS]", "##er", "film", "!", "[SEP]"]
    assert data.word_starts[0].tolist() == [TRUNCATED, TRUNCATED, 1, 2, 3]  # of "yorker" the end is left
    assert data.truncation == Truncation(examples=1, content=2 / 5)


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_markers_that_a_user_added_stay_whole_and_control_tokens_are_text(family: str, tmp_path: Path) -> None:
    made = tiny_tokenizers.tokenizer(family)
    made.add_tokens(["[E1]", "[/E1]"], special_tokens=True)
    made.add_special_tokens({"additional_special_tokens": ["<t>"]}, replace_extra_special_tokens=False)
    made.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    names = tiny_tokenizers.FAMILIES[family][0]
    control = " ".join(names.values())
    task = type("Texts", (type(tiny_bert.task("classification")),), {"max_length": 90})()
    data = encode(task, [Example(f"[E1] film [/E1] <t> {control}", 0)], tokenizer)
    pieces = tokenizer.convert_ids_to_tokens(data.inputs["input_ids"][0].tolist())
    assert [piece for piece in pieces if piece in ("[E1]", "[/E1]", "<t>")] == ["[E1]", "[/E1]", "<t>"]
    inside = pieces[1:-1] if family != "bert" else [piece for piece in pieces[1:-1] if piece != "[UNK]"]
    assert not set(inside) & set(names.values())
    words = encode(with_labels(3), [Example(("[E1]", "film", "[/E1]", names["sep"]), (1, 2, 0, 1))], tokenizer)
    starts = words.word_starts[0].tolist()
    at = tokenizer.convert_ids_to_tokens(words.inputs["input_ids"][0].tolist())
    assert at[starts[0] : starts[1]] == ["[E1]"]
    # A byte-level tokenizer reads the space before a marker as a piece.
    assert at[starts[2] : starts[3]] == (["[/E1]"] if family == "bert" else ["Ġ", "[/E1]"])


def test_a_tokenizer_without_such_markers_is_left_as_it_is(tokenizers: dict[str, Any]) -> None:
    for tokenizer in tokenizers.values():
        added = tokenizer.backend_tokenizer.get_added_tokens_decoder().values()
        assert added
        assert all(token.special for token in added)

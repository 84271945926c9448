"""From texts to tensors: ids, masks, segments and aligned labels by hand."""

import json
import math
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny as tiny_bert
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scoring import score

from bench.errors import SourceError
from bench.grid.suites import Budget
from bench.plugins.splits import cut
from bench.plugins.task import Example, Splits
from bench.records.record import Truncation
from bench.train.data import IGNORED, encode, examples_of, prepare, read
from bench.train.tokens import TRUNCATED

AT = {token: index for index, token in enumerate(tiny_bert.VOCAB)}


def ids(text: str) -> list[int]:
    return [AT[token] for token in text.split()]


def test_texts_are_framed_padded_and_masked(tiny: Any) -> None:
    data = encode(
        tiny_bert.task("classification"),
        [Example("Good film", 2), Example("the film is badly played", 0)],
        tiny.tokenizer,
    )
    batch = data.batch([0, 1])
    assert batch.inputs["input_ids"].tolist() == [
        ids("[CLS] good film [SEP] [PAD] [PAD] [PAD] [PAD] [PAD]"),
        ids("[CLS] the film is bad ##ly play ##ed [SEP]"),
    ]
    assert batch.inputs["attention_mask"].tolist() == [[1] * 4 + [0] * 5, [1] * 9]
    assert batch.inputs["token_type_ids"].tolist() == [[0] * 9, [0] * 9]
    assert batch.labels.tolist() == [2, 0]
    assert (batch.labels.dtype, batch.inputs["input_ids"].dtype) == (torch.int64, torch.int64)
    assert (batch.examples, batch.scored, batch.tokens) == (2, 2, 13)
    assert data.lengths.tolist() == [4, 9]
    assert data.batch([0]).inputs["input_ids"].shape == (1, 4)  # padded to the longest of the batch, no further
    assert data.batch([1, 0]).labels.tolist() == [0, 2]


def test_pairs_have_two_segments(tiny: Any) -> None:
    data = encode(
        tiny_bert.task("pair"), [Example("good", 1, "bad film"), Example("good film", 0, "bad")], tiny.tokenizer
    )
    inputs = data.batch([0]).inputs
    assert inputs["input_ids"].tolist() == [ids("[CLS] good [SEP] bad film [SEP]")]
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 1]]


def test_long_texts_are_cut_and_keep_their_last_separator(tiny: Any) -> None:
    task = tiny_bert.task("pair")
    data = encode(task, [Example("good " * 30, 1, "bad " * 30)], tiny.tokenizer)
    assert data.lengths.tolist() == [16]
    assert data.inputs["input_ids"][0].tolist() == ids("[CLS] " + "good " * 6 + "[SEP] " + "bad " * 7 + "[SEP]")


@pytest.mark.parametrize("word", ["[SEP]", "[CLS]", "[PAD]", "[MASK]"])
def test_a_special_tokens_name_in_a_text_is_only_text(tiny: Any, word: str) -> None:
    for task, example in (
        (tiny_bert.task("classification"), Example(f"good {word} film", 0)),
        (tiny_bert.task("pair"), Example(f"good {word}", 0, f"{word}")),
        (tiny_bert.task("token-classification"), Example(("good", word, "film"), (0, 1, 2))),
    ):
        row = encode(task, [example], tiny.tokenizer).inputs["input_ids"][0].tolist()
        special = [token for token in row if token in {AT["[SEP]"], AT["[CLS]"], AT["[PAD]"], AT["[MASK]"]}]
        assert special == [AT["[CLS]"], *[AT["[SEP]"]] * (2 if task.pair else 1)]


def test_a_word_is_labelled_and_scored_once_at_its_first_piece(tiny: Any) -> None:
    examples = [Example(("the", "film", "badly", "played"), (0, 1, 2, 0)), Example(("good",), (1,))]
    data = encode(tiny_bert.task("token-classification"), examples, tiny.tokenizer)
    assert data.inputs["input_ids"][0].tolist() == ids("[CLS] the film bad ##ly play ##ed [SEP]")
    assert data.word_starts[0].tolist() == [1, 2, 3, 5]
    batch = data.batch([0, 1])
    no = IGNORED
    assert batch.labels.tolist() == [[no, 0, 1, 2, no, 0, no, no], [no, 1, no, no, no, no, no, no]]
    assert (batch.scored, batch.tokens, batch.examples) == (5, 11, 2)
    assert data.references == [[0, 1, 2, 0], [1]]


def test_words_that_are_cut_off_count_as_wrong(tiny: Any) -> None:
    """16 tokens hold 14 words of one piece; the two entities beyond them are missed, not forgiven."""
    words, tags = ("good",) * 18, (1,) * 18
    task = tiny_bert.task("token-classification")
    data = encode(task, [Example(words, tags)], tiny.tokenizer)
    assert data.word_starts[0].tolist() == [*range(1, 15), *[TRUNCATED] * 4]
    assert data.references == [[1] * 18]
    assert data.batch([0]).scored == 14
    answers = [[1] * 14 + [TRUNCATED] * 4]
    scores = score("entity_f1", answers, data.references, task.labels)
    assert scores["entity_recall"] == pytest.approx(14 / 18)
    assert scores["entity_precision"] == 1
    assert scores["entity_f1"] == pytest.approx(2 * 14 / (14 + 18))


def test_a_word_cut_in_the_middle_keeps_its_label(tiny: Any) -> None:
    words = ("good",) * 13 + ("badly", "film")  # 13 pieces, then "bad" fits and "##ly" does not
    data = encode(tiny_bert.task("token-classification"), [Example(words, (0,) * 13 + (1, 2))], tiny.tokenizer)
    assert data.word_starts[0].tolist() == [*range(1, 15), TRUNCATED]
    assert data.labels[0].tolist() == [IGNORED, *[0] * 13, 1, IGNORED]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["good", "badly", "played", "film", "zzz", "!", "\u200b"]), min_size=1, max_size=12),
        min_size=1,
        max_size=5,
    )
)
def test_labels_follow_their_words(tiny_tokenizer: Any, sentences: list[list[str]]) -> None:
    task = tiny_bert.task("token-classification")
    examples = [Example(tuple(words), tuple(at % 3 for at in range(len(words)))) for words in sentences]
    data = encode(task, examples, tiny_tokenizer)
    batch = data.batch(range(len(data)))
    for row, words in enumerate(sentences):
        pieces = [tiny_tokenizer.tokenize(word) for word in words]
        starts = np.cumsum([1, *map(len, pieces)])[:-1]
        # A word that the tokenizer drops ("\u200b") or that is cut off has no place.
        kept = {at: int(start) for at, start in enumerate(starts) if start < 15 and pieces[at]}
        assert data.word_starts[row].tolist() == [kept.get(at, TRUNCATED) for at in range(len(words))]
        scored = [int(label) for label in batch.labels[row] if label != IGNORED]
        assert scored == [at % 3 for at in kept]
    assert batch.scored == int((batch.labels != IGNORED).sum())
    assert batch.tokens == int(batch.inputs["attention_mask"].sum())


@pytest.fixture(scope="module")
def tiny_tokenizer(tiny: Any) -> Any:
    return tiny.tokenizer


def test_the_smaller_sample_is_part_of_the_larger() -> None:
    splits = {"train": tiny_bert.examples("classification", 20)}
    assert examples_of("train", splits, Budget()) == splits["train"]
    for limit in range(1, 22):
        assert examples_of("train", splits, Budget(train_examples=limit)) == splits["train"][:limit]


@pytest.mark.parametrize(("cuts", "expected"), [(True, (2, 1)), (False, (None, None))])
def test_the_record_has_what_was_removed(tiny_model_dir: Path, cuts: bool, expected: tuple[int | None, ...]) -> None:
    """Six inputs, one of them three times with two labels; a task that cuts by itself counts nothing."""

    class Films(type(tiny_bert.task("classification"))):  # type: ignore[misc]
        def read(self, path: Path) -> Splits:
            texts = ["good", "bad", "very good", "not bad", "the film", "a street", "Good", " good"]
            splits = cut([Example(text, at % 2) for at, text in enumerate(texts)], salt="s", validation=1, test=1)
            return splits if cuts else dict(splits)

    data = prepare(Films, Path(), tiny_model_dir, Budget()).description
    assert (data.removed, data.conflicts) == expected
    assert data.examples == {"train": 4, "validation": 1, "test": 1}


@pytest.mark.parametrize(
    ("label", "fits"),
    [((0, 2), True), ((), True), (0, False), ((2, 0), False), ((0, 0), False), ((3,), False), ((-1,), False),
     ((0.0,), False), (None, False)],
)  # fmt: skip
def test_several_labels_are_a_tuple_of_indices(label: Any, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tiny_bert.task("multi-label")
    monkeypatch.setattr(type(task), "read", lambda self, path: {"train": [Example("good", label)]})
    with nullcontext() if fits else pytest.raises(SourceError, match="do not fit the task: example 0 of train"):
        read(task, Path("nowhere"))


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [("classification", np.int64(1), 1), ("classification", "maybe", 1), ("regression", np.float32(0.5), 0.5),
     ("multi-label", ["no", "yes"], (0, 2)), ("multi-label", np.array([0, 2]), (0, 2)), ("multi-label", [], ()),
     ("token-classification", ["O", "B-X"], (0, 1)), ("token-classification", (np.int32(0), 1), (0, 1))],
)  # fmt: skip
def test_numbers_of_numpy_and_names_are_labels_too(
    kind: str, given: Any, kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tiny_bert.task(kind)
    text: Any = ["the", "film"] if kind == "token-classification" else "the film"
    others = [Example("a", 1.5)] if kind == "regression" else []
    monkeypatch.setattr(type(task), "read", lambda self, path: {"train": [Example(text, given), *others]})
    example = read(task, Path("nowhere"))["train"][0]
    assert (example.label, type(example.label)) == (kept, type(kept))
    assert example.text == (tuple(text) if kind == "token-classification" else text)
    json.dumps(example)  # as the record's digest needs


@pytest.mark.parametrize(
    ("kind", "example", "reason"),
    [
        ("classification", Example(None, 1), "a text is missing (None), as pandas has"),
        ("classification", Example(float("nan"), 1), "a text is missing (nan), as pandas has"),
        ("pair", Example("a", 1, float("nan")), "a text is missing (nan)"),
        ("pair", Example("a", 1), "a text is missing (None)"),
        ("classification", Example("a", 1, "b"), "there is a second text, 'b', and the task does not say pair = True"),
        ("classification", Example(5, 1), "the text is 5"),
        ("classification", Example("a", "perhaps"), "an index from 0 to 2, or names of labels, and is 'perhaps'"),
        ("classification", Example("a", np.int64(3)), "from 0 to 2, or names of labels, and is 3"),
        ("regression", Example("a", float("nan")), "the label must be a finite number, and is nan"),
        ("regression", Example("a", "1.5"), "the label must be a finite number, and is '1.5'"),
        ("token-classification", Example(("a", None), (0, 1)), "a text is missing (None)"),
        ("token-classification", Example("a b", (0, 1)), "text and label must be tuples of equal length"),
        ("token-classification", Example(("a",), (0, 1)), "text and label must be tuples of equal length"),
        ("token-classification", Example(("a",), ("B-Y",)), "a tuple of indices from 0 to 2, or names of labels"),
    ],
)
def test_what_does_not_fit_is_said(kind: str, example: Any, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tiny_bert.task(kind)
    monkeypatch.setattr(type(task), "read", lambda self, path: {"train": [example]})
    with pytest.raises(SourceError, match=re.escape(reason)) as raised:
        read(task, Path("nowhere"))
    assert "do not fit the task: example 0 of train: " in str(raised.value)


def test_several_labels_are_a_row_of_indicators(tiny: tiny_bert.Tiny) -> None:
    task = tiny_bert.task("multi-label")
    examples = [Example("good", (0, 2)), Example("bad", ()), Example("film", (0,)), Example("the", (0,))]
    data = encode(task, examples, tiny.tokenizer)
    assert data.references == [[0, 2], [], [0], [0]]
    assert data.labels.tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 0], [1, 0, 0]]  # type: ignore[union-attr]
    batch = data.batch([0, 1])
    assert (batch.scored, batch.examples, batch.labels.dtype) == (6, 2, torch.float32)
    # rates 3/4, 0 and 1/4: entropies h, 0 and h
    h = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert data.constant_loss() == pytest.approx(2 * h / 3)


def test_the_record_has_what_was_cut(tiny_model_dir: Path) -> None:
    """Of 20 words 14 are left beside [CLS] and [SEP] at 16 tokens; a word too many in one of two tests."""

    class Long(type(tiny_bert.task("classification"))):  # type: ignore[misc]
        def read(self, path: Path) -> Splits:
            train = [Example("good " * 20, 0), Example("bad", 1)]
            test = [Example("good " * 15, 0), Example("good " * 14, 1)]
            return {"train": train, "validation": [Example("bad", 1)], "test": test}

    data = prepare(Long, Path(), tiny_model_dir, Budget()).description
    assert data.max_length == 16
    assert data.truncation == {
        "train": Truncation(examples=1 / 2, content=6 / 21),
        "validation": Truncation(examples=0, content=0),
        "test": Truncation(examples=1 / 2, content=1 / 29),
    }


def test_pairs_lose_what_does_not_fit_of_both_texts(tiny: Any) -> None:
    """13 of 40 pieces are left beside three special tokens."""
    data = encode(tiny_bert.task("pair"), [Example("good " * 20, 1, "bad " * 20)], tiny.tokenizer)
    assert data.truncation == Truncation(examples=1, content=27 / 40)

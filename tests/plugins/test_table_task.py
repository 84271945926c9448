"""Tasks declared in TOML: what is declared, how rows become examples, and what makes their cells others."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from made import unlike_any

from bench.errors import PluginError, SourceError
from bench.grid.cell import code_version
from bench.plugins import registry, table_task
from bench.plugins.splits import Cut
from bench.plugins.task import Example, Task
from bench.runner.options import DATA
from bench.train.data import read

Declare = Callable[..., type[Task]]


@pytest.fixture
def declare(tmp_path: Path) -> Declare:
    def write(**keys: Any) -> type[Task]:
        file = tmp_path / "mine.toml"
        file.write_text(tomli_w.dumps({"name": "mine", "source": "data.csv", **keys}), encoding="utf-8")
        return registry.tasks([file]).get("mine").plugin

    return write


def save(file: Path, rows: list[tuple[object, ...]], *header: str) -> None:
    if file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows))
        return
    with file.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([header, *rows])


def examples(task: Task) -> tuple[Cut, dict[object, Any]]:
    splits = read(task, Path(task.source))
    assert isinstance(splits, Cut)
    return splits, {example.text: example.label for part in splits.values() for example in part}


def test_a_table_is_cut_by_shares_and_what_is_left_out_is_counted(declare: Declare, tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(unlike_any(at), f"class {at % 17:02}") for at in range(900)]
    repeated = [(text.upper(), f"class {(at + 1) % 17:02}" if at < 5 else label) for at, (text, label) in enumerate(
        [(str(text), label) for text, label in rows[:40]])]  # fmt: skip
    save(
        tmp_path / "data.csv",
        [*rows, *repeated, ("", "class 00"), (" \n", "class 01"), (unlike_any(1000), "")],
        "text",
        "label",
    )
    task = declare()()
    splits, found = examples(task)
    assert {name: len(part) for name, part in splits.items()} == {"train": 630, "validation": 90, "test": 180}
    assert (splits.removed, splits.conflicts, splits.dropped) == (40, 5, 3)
    assert task.labels == tuple(f"class {at:02}" for at in range(17))
    assert all(found[text] == at % 17 for at, (text, _) in enumerate(rows) if at >= 40)
    assert (task.metric, task.kind, task.max_length) == ("accuracy", "classification", 128)


def test_what_pandas_left_missing_is_dropped_and_what_is_no_text_is_said(declare: Declare, tmp_path: Path) -> None:
    import pandas as pd

    texts = [unlike_any(at) for at in range(30)]
    table = pd.DataFrame({"text": [*texts, None, "no label"], "label": [*[0.0, 1.0] * 15, 1.0, float("nan")]})
    table.to_parquet(tmp_path / "data.parquet")
    task = declare(source="data.parquet")()
    splits, found = examples(task)
    assert (task.labels, splits.dropped, len(found)) == (("0", "1"), 2, 30)
    assert examples(declare(source="data.parquet", kind="regression")())[0].dropped == 2
    save(tmp_path / "data.jsonl", [(0, "a"), ("one", "b")], "text", "label")
    with pytest.raises(SourceError, match="row 1: 0 is not a text"):
        examples(declare(source="data.jsonl")())


def test_the_order_of_the_rows_does_not_matter(declare: Declare, tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(unlike_any(at), "ab"[at % 2]) for at in range(100)]
    save(tmp_path / "data.csv", rows, "text", "label")
    before = examples(declare()())[0]
    random.Random(0).shuffle(rows)
    save(tmp_path / "data.csv", rows, "text", "label")
    assert examples(declare()())[0] == before


def test_counts_instead_of_shares_and_one_template_throughout(declare: Declare, tmp_path: Path) -> None:
    save(
        tmp_path / "data.csv",
        [(f"the same words but {word}", word > "m") for word in map(chr, range(97, 123))],
        "text",
        "label",
    )
    splits, _ = examples(declare(validation=4, test=6)())
    assert {name: len(part) for name, part in splits.items()} == {"train": 16, "validation": 4, "test": 6}
    assert splits.notes[0].startswith("near-duplicates are in several splits, because 26 distinct examples form 1 ")
    assert splits.notes[0].endswith("too few for 6 in test and 4 in validation")
    with pytest.raises(SourceError, match=r"cut into splits: 26 distinct examples are too few .* ask for less"):
        examples(declare(validation=20, test=6)())


LABELS: dict[str, tuple[str, list[object], dict[str, Any], tuple[str, ...], list[int]]] = {
    "names": (".csv", ["spam", " ham ", "eggs"], {}, ("eggs", "ham", "spam"), [2, 1, 0]),
    "numbers": (".csv", ["10", "9", "-1"], {}, ("-1", "9", "10"), [2, 1, 0]),
    "codes": (".csv", ["01", "1", "NA"], {}, ("01", "1", "NA"), [0, 1, 2]),
    "integers": (".jsonl", [10, 9, 10], {}, ("9", "10"), [1, 0, 1]),
    "floats of pandas": (".jsonl", [1.0, 0.0, 1.0], {}, ("0", "1"), [1, 0, 1]),
    "grades": (".jsonl", [1.5, 1, 2], {}, ("1", "1.5", "2"), [1, 0, 2]),
    "truth": (".jsonl", [True, False, True], {}, ("false", "true"), [1, 0, 1]),
    "names in order": (
        ".csv",
        ["spam", "ham", "ham"],
        {"labels": ["spam", "ham", "eggs"]},
        ("spam", "ham", "eggs"),
        [0, 1, 1],
    ),
    "indices": (".csv", ["1", "0", "1"], {"labels": ["ham", "spam"]}, ("ham", "spam"), [1, 0, 1]),
    "numbers in order": (".csv", ["1", "0", "1"], {"labels": [1, 0]}, ("1", "0"), [0, 1, 0]),
    "truth in order": (".jsonl", [True, False, True], {"labels": [True, False]}, ("true", "false"), [0, 1, 0]),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_become_indices(declare: Declare, tmp_path: Path, name: str) -> None:
    suffix, values, keys, labels, indices = LABELS[name]
    save(tmp_path / f"data{suffix}", [(unlike_any(at), values[at % 3]) for at in range(30)], "text", "label")
    task = declare(source=f"data{suffix}", **keys)()
    found = examples(task)[1]
    assert task.labels == labels
    assert [found[unlike_any(at)] for at in range(30)] == indices * 10


WRONG_LABELS: dict[str, tuple[str, list[object], dict[str, Any], str]] = {
    "unknown": (
        ".csv",
        ["spam", "ham"],
        {"labels": ["spam", "hams"]},
        "row 2: there is no label 'ham'; did you mean 'hams'",
    ),
    "beyond": (".csv", ["1", "2"], {"labels": ["a", "b"]}, "there is no label '2'"),
    "one": (".csv", ["spam"], {}, "has no two labels: spam"),
    "prices": (".csv", [str(1000 + at) for at in range(60)], {}, "60 distinct numbers in 60 examples"),
    "ratings": (".csv", [f"{at % 25 / 2}" for at in range(60)], {}, 'kind = "regression"'),
    "texts": (
        ".csv",
        [f"id {at}" for at in range(60)],
        {},
        "60 distinct values in 60 examples, as a column of texts has",
    ),
    "objects": (".jsonl", [{"a": 1}], {}, r"row 1: \{'a': 1\} is no label"),
    "infinite": (".jsonl", [float("inf")], {}, "row 1: inf is no label"),
    "none": (".jsonl", [[]], {"kind": "multi-label"}, "has no two labels: none"),
    "no lists": (".csv", ["O"], {"kind": "token-classification"}, "row 1: for token classification, .* must be lists"),
    "no separator": (".csv", ["a;b"], {"kind": "multi-label"}, r'what separates its labels, such as separator = ";"'),
    "several": (".jsonl", [["a", "b"]], {}, r"row 1: \['a', 'b'\] is no label of a classification task"),
    "no list": (".jsonl", [5], {"kind": "multi-label"}, "row 1: 5 is no label of a multi-label task"),
    "comma": (".csv", ["1,5"], {"kind": "regression"}, "row 1: '1,5' is not a number with a decimal point"),
    "infinite number": (".csv", ["inf"], {"kind": "regression"}, "row 1: 'inf' is not a number"),
    "true number": (".jsonl", [True], {"kind": "regression"}, "row 1: True is not a number"),
    "metric": (".csv", ["a", "b", "c"], {"metric": "f1", "labels": ["a", "b"]}, "there is no label 'c'"),
}


@pytest.mark.parametrize("name", WRONG_LABELS)
def test_a_column_that_is_none_of_labels_is_one_sentence(declare: Declare, tmp_path: Path, name: str) -> None:
    suffix, values, keys, message = WRONG_LABELS[name]
    rows: list[tuple[object, ...]] = [(unlike_any(at), values[at % len(values)]) for at in range(60)]
    save(tmp_path / f"data{suffix}", rows, "text", "label")
    with pytest.raises(SourceError, match=message):
        examples(declare(source=f"data{suffix}", **keys)())


MULTI: dict[str, tuple[str, list[object], dict[str, Any]]] = {
    "lists": (".jsonl", [["b", "a"], [], ["b"]], {}),
    "cells": (".csv", ["b; a", "", "b;"], {"separator": ";"}),
    "in order": (".csv", ["b|a|b", "", "b"], {"separator": "|", "labels": ["a", "b"]}),
    "positions": (".jsonl", [[1, 0], [], [1]], {"labels": ["a", "b"]}),
}


@pytest.mark.parametrize("name", MULTI)
def test_several_labels_of_a_row(declare: Declare, tmp_path: Path, name: str) -> None:
    suffix, values, keys = MULTI[name]
    save(tmp_path / f"data{suffix}", [(unlike_any(at), values[at % 3]) for at in range(30)], "text", "label")
    task = declare(source=f"data{suffix}", kind="multi-label", **keys)()
    splits, found = examples(task)
    assert (task.labels, task.metric, splits.dropped) == (("a", "b"), "f1_micro", 0)
    assert [found[unlike_any(at)] for at in range(30)] == [(0, 1), (), (1,)] * 10


def test_a_column_for_each_label(declare: Declare, tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(unlike_any(at), at % 2, str(at % 3 == 0)) for at in range(30)]
    save(tmp_path / "data.csv", [*rows, (unlike_any(99), 1, "")], "text", "rude", "spam")
    task = declare(label=["rude", "spam"], kind="multi-label")()
    splits, found = examples(task)
    assert (task.labels, splits.dropped) == (("rude", "spam"), 1)
    assert [found[unlike_any(at)] for at in range(4)] == [(1,), (0,), (), (0, 1)]
    save(tmp_path / "data.csv", [*rows, (unlike_any(99), 1, "perhaps")], "text", "rude", "spam")
    with pytest.raises(SourceError, match=r"row 31: \['1', 'perhaps'\] is no label of a multi-label task"):
        examples(task)


def test_numbers_and_pairs(declare: Declare, tmp_path: Path) -> None:
    save(tmp_path / "data.csv", [(unlike_any(at), f"reply {at}", at / 4) for at in range(40)], "ask", "say", "score")
    task = declare(text="ask", pair="say", label="score", kind="regression")()
    splits, found = examples(task)
    assert (task.pair, task.metric, task.labels, task.num_labels) == (True, "spearman", (), 1)
    assert all(found[unlike_any(at)] == at / 4 for at in range(40))
    example = splits["test"][0]
    assert example == Example(unlike_any(int(example.label * 4)), example.label, f"reply {int(example.label * 4)}")
    assert type(example.label) is float


def test_words_and_tags(declare: Declare, tmp_path: Path) -> None:
    words = [[unlike_any(at), "in", "York"] for at in range(30)]
    rows: list[tuple[object, ...]] = [(each, ["O", "O", "B-LOC"]) for each in words]
    save(tmp_path / "data.jsonl", [*rows, ([], [])], "tokens", "tags")
    task = declare(source="data.jsonl", text="tokens", label="tags", kind="token-classification")()
    splits, found = examples(task)
    assert (task.labels, task.metric, splits.dropped) == (("O", "B-LOC"), "entity_f1", 1)
    assert found == {tuple(each): (0, 0, 1) for each in words}
    save(tmp_path / "data.jsonl", [*rows, (["two", "words"], ["O"])], "tokens", "tags")
    with pytest.raises(SourceError, match="row 31: 1 tags for 2 words"):
        examples(task)


def test_tags_of_another_scheme_are_converted_and_told(declare: Declare, tmp_path: Path) -> None:
    """By hand: two neighbours of U-LOC are two entities; B-PER L-PER is one."""
    words = [[unlike_any(at), "of", "York", "York", "Ann", "Lee"] for at in range(30)]
    tags = ["O", "O", "U-LOC", "U-LOC", "B-PER", "L-PER"]
    save(tmp_path / "data.jsonl", [(each, tags) for each in words], "tokens", "tags")
    keys = {"source": "data.jsonl", "text": "tokens", "label": "tags", "kind": "token-classification"}
    task = declare(**keys)()
    splits, found = examples(task)
    assert task.labels == ("O", "B-LOC", "B-PER", "I-PER")
    assert [task.labels[at] for at in found[tuple(words[0])]] == ["O", "O", "B-LOC", "B-LOC", "B-PER", "I-PER"]
    assert splits.notes == ["the tags are BILOU, and were converted to BIO"]
    task = declare(**keys, metric="token_accuracy")()  # which scores tags as they are
    assert examples(task)[0].notes == []
    assert "U-LOC" in task.labels
    save(tmp_path / "data.jsonl", [(each, ["NOUN", "ADP", *["NOUN"] * 4]) for each in words], "tokens", "tags")
    with pytest.raises(SourceError, match=r"cannot be scored: .* token_accuracy and token_f1_macro"):
        examples(declare(**keys)())


def test_official_splits_are_kept_and_validation_is_cut_where_there_is_none(declare: Declare, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for split, places in {"train": range(100), "test": range(95, 115), "hard": range(200, 210)}.items():
        save(tmp_path / "data" / f"{split}.csv", [(unlike_any(at), "ab"[at % 2]) for at in places], "text", "label")
    splits, _ = examples(declare(source="data")())  # five of train are in test, which keeps them
    assert {name: len(part) for name, part in splits.items()} == {"train": 85, "validation": 10, "test": 20}
    task = declare(source="data", splits={"train": "train", "test": "test", "hard": "hard.csv"}, validation=7)
    splits, _ = examples(task())
    assert (task.extra_tests, len(splits["hard"]), len(splits["validation"])) == (("hard",), 10, 7)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"metrc": "f1"}, "there is no key 'metrc'; did you mean 'metric'"),
    "kind": ({"kind": "clasification"}, "kind: "),
    "type": ({"max_length": "128"}, "max_length: "),
    "size": ({"test": 1.5}, "test: 1.5 is neither a share between 0 and 1 nor a number of examples"),
    "none": ({"validation": 0}, "validation: 0 is neither"),
    "truth": ({"validation": True}, "validation"),
    "columns": ({"label": "text"}, "text, pair and label must be different columns"),
    "name": ({"name": "a/b"}, "name: 'a/b' has other signs than"),
    "source": ({"source": ""}, "source: "),
    "one label": ({"labels": ["spam"]}, "labels must name at least two labels"),
    "several columns": ({"label": ["a", "b"]}, 'are for kind = "multi-label"'),
    "one column": ({"label": ["a"], "kind": "multi-label"}, "there are two at least"),
    "separator": ({"separator": ";"}, 'are for kind = "multi-label"'),
    "splits": ({"splits": {"train": "a"}}, "must say which train and test are"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_declaration_names_the_key(tmp_path: Path, name: str) -> None:
    keys, message = WRONG[name]
    file = tmp_path / "mine.toml"
    file.write_text(tomli_w.dumps({"name": "mine", "source": "data.csv", **keys}), encoding="utf-8")
    with pytest.raises(PluginError, match=message) as raised:
        registry.tasks([file]).get("mine")
    assert "\n" not in str(raised.value)
    assert registry.methods([file]).broken.keys() == registry.methods().broken.keys()


@pytest.mark.parametrize(
    ("text", "message"), [(b"name =", "it is not TOML"), (b"\xff", "it is not UTF-8"), (b"", "'name' is missing")]
)
def test_a_file_that_declares_nothing_is_a_broken_task(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "mine.toml").write_bytes(text)
    assert message in registry.tasks([tmp_path / "mine.toml"]).broken["mine"].reason


def test_the_identity_is_what_is_declared_and_not_where_or_how(tmp_path: Path) -> None:
    def version(folder: str, text: str) -> str:
        file = tmp_path / folder / "mine.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return code_version([file])

    one = version("a", 'name = "mine"\nsource = "data.csv"\nmetric = "accuracy"\n')
    assert (
        version("b", '# mine\nmetric="accuracy"\nsummary = "s"\ncitation = "c"\nname="mine"\nsource="/x/data.csv"')
        == one
    )
    assert version("a", 'name = "mine"\nsource = "data.csv"\n') != one
    remote = [version("a", f'name = "mine"\nsource = "hub:datasets/o/n@{at}"\n') for at in ("main", "v1")]
    assert remote[0] != remote[1]


def test_the_same_file_twice_is_one_task_and_a_changed_one_another(declare: Declare, tmp_path: Path) -> None:
    first = declare()
    file = tmp_path / "mine.toml"
    assert registry.tasks([file, file]).get("mine").plugin is first
    assert not registry.tasks([file, file]).broken
    assert declare(max_length=64).max_length == 64
    assert first.source == str(tmp_path / "data.csv")
    assert table_task.load(file) is not first


def test_every_key_is_documented() -> None:
    docs = Path(__file__).parents[2] / "docs"
    section = (docs / "plugins.md").read_text(encoding="utf-8").split("## A task in TOML")[1].split("\n## ")[0]
    assert [
        key for key in table_task.Declaration.model_fields if f"`{key}`" not in section and f"[{key}]" not in section
    ] == []
    options = (docs / "configuration.md").read_text(encoding="utf-8").split("## Your own data")[1].split("\n## ")[0]
    assert [name for name in ("data", *DATA) if f"`--{name}`" not in options] == []

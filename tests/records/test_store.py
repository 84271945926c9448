"""Records on disk come back exactly, and a damaged one is named and set aside."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from made import failed, memory, parameters, record, speed
from pydantic import ValidationError

from bench.errors import StoreError, UsageError
from bench.measure.environment import anonymous
from bench.plugins.recipe import Recipe
from bench.records.record import FAILED, READABLE_VERSIONS, SCHEMA_VERSION, Data, ExtraTest, Record
from bench.records.store import NewerRecord, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def full() -> Record:
    """A record with something in every field."""
    return record(
        reason="none",
        traceback="a\nb",
        last_step=3,
        retries=["lost with its machine at step 2, after 9 s"],
        constant_score=0.25,
        validation_scores=[0.5, None],
        validation_steps=[8, 16],
        chosen_step=8,
        chosen_epoch=1,
        collapsed="the training loss ended high",
        notes=["a part was drawn"],
        recipe=Recipe(learning_rate=1e-3, epochs=2, chosen_by="me"),
        recipe_sources={"epochs": "suite mine"},
        parameters=parameters(),
        adapter_bytes=4608,
        adapter="adapters/head-tiny-seed0",
        inference_flops=645_600_768,
        memory=memory(),
        speed=speed(void="every gradient was zero"),
        data=Data(examples={"train": 3}, labels=["hé"], label_counts={"train": {"hé": 3}}, digest="sha256:00"),
        losses=[0.1, 0.2, 1 / 3],
        predictions=[1, [0, -1], 0.1],
        references=[1, [0, 2], 1e-300],
        shares=[1.0, 0.0, -0.25],
        extra_tests={
            "harder": ExtraTest(scores={"f1": None}, constant_score=0.5, predictions=[0, 1], references=[1, 1])
        },
        environment={"versions": {"torch": None}},
    )


@pytest.mark.parametrize("chosen", [{"chosen_step": 9}, {"chosen_epoch": 3}])
def test_what_was_chosen_must_have_been_validated(chosen: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="validation"):
        record(validation_scores=[0.5, 0.25], validation_steps=[8, 16], **chosen)


# There and back


def test_a_record_comes_back_as_it_went(store: Store) -> None:
    made = full()
    assert all(getattr(made, name) not in (None, [], {}) for name in Record.model_fields)
    store.write(made)
    assert store.read(made.id) == made
    text = store.path(made.id).read_text(encoding="utf-8")
    assert text.count("\n") == 1
    assert text.endswith("}\n")
    assert [path.name for path in store.records.iterdir()] == [f"{made.id}.json"]
    assert made.schema_version == SCHEMA_VERSION == max(READABLE_VERSIONS)  # older ones: tests/faults/test_records.py


def test_a_record_on_an_extra_test_is_that_of_the_cell_with_its_answers() -> None:
    made = full().on("harder")
    assert (made.id, made.cell.task) == (full().id, "sms-spam/harder")
    assert (made.scores, made.constant_score) == ({"f1": None}, 0.5)
    assert (made.predictions, made.references, made.extra_tests) == ([0, 1], [1, 1], {})
    same = set(Record.model_fields) - {*ExtraTest.model_fields, "cell", "extra_tests"}
    assert all(getattr(made, name) == getattr(full(), name) for name in same)
    unknown = full().on("unheard of")
    assert (unknown.score, unknown.predictions, unknown.status) == (None, [], "ok")


def test_a_reason_with_half_characters_can_be_read_back(store: Store) -> None:
    """As an exception has them that names a file whose name is not UTF-8."""
    made = failed(reason=anonymous("no file 'caf\udce9'"))
    store.write(made)
    assert store.read(made.id) == made
    assert made.reason == "no file 'caf?'"


@pytest.mark.parametrize("field", ["losses", "validation_scores"])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_never_becomes_invalid_json(field: str, number: float, store: Store) -> None:
    made = record()
    setattr(made, field, [0.5, number])  # as a cell enters it, whose record is checked when it is read
    with pytest.raises(ValueError, match="JSON"):
        store.write(made)
    assert not store.path(made.id).exists()


def test_an_answer_that_is_no_number_is_unknown(store: Store) -> None:
    store.write(record(predictions=[0.5, math.nan]))
    written = json.loads(store.path(record().id).read_text(), parse_constant=pytest.fail)
    assert written["predictions"] == [0.5, None]


def test_the_score_is_that_of_the_metric() -> None:
    assert record(score=0.25).score == 0.25
    assert record(metric=None).score is failed().score is None
    found = [full(), record(validation_scores=[0.5, 0.25]), record(validation_scores=[0.5, 0.25], chosen_epoch=1)]
    assert [each.validation_score for each in found] == [0.5, 0.25, 0.5]
    assert [failed(status=status).failed for status in ("error", "oom", "timeout", "interrupted")] == 4 * [True]
    assert [failed(status="skipped").failed, record().failed] == [False, False]


# Damaged ones

TEXT = record().to_json()


def other(**changes: Any) -> str:
    return json.dumps({**json.loads(TEXT), **changes})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "cannot be read as a record"),
        (TEXT[: len(TEXT) // 2], "cannot be read as a record"),
        (b"\xff\xfe", "cannot be read as a record"),
        ("[]", "not a record of schema version 1 or 2"),
        ("null", "its schema version is None"),
        (other(schema_version=0), "its schema version is 0"),
        (other(status="fine"), "is not a record: status: "),
        (other(mood="good"), "is not a record: mood: "),
        (other(cell={}), "is not a record: cell.method: "),
        (other(id="0123456789abcdef"), "holds the record of another cell, 0123456789abcdef"),
    ],
)
def test_a_damaged_record_is_named_and_the_others_are_read(content: str | bytes, reason: str, store: Store) -> None:
    damaged, sound = record(), record(seed=1)
    store.write(sound)
    store.path(damaged.id).write_bytes(content if isinstance(content, bytes) else content.encode())
    records, faults = store.all()
    assert records == [sound]
    assert len(faults) == 1
    assert reason in faults[0]
    assert damaged.id in faults[0]
    assert store.finished(damaged.id) is None
    with pytest.raises(StoreError, match=re.escape(reason)):
        store.read(damaged.id)


def test_a_damaged_record_is_replaced_and_kept_apart(store: Store) -> None:
    store.write(record())
    path = store.path(record().id)
    path.write_text(TEXT[:100])
    store.write(record(score=0.75))
    assert store.read(record().id) == record(score=0.75)
    assert [each.read_text() for each in store.damaged.iterdir()] == [TEXT[:100]]
    store.write(record())  # over a sound one
    assert len(list(store.damaged.iterdir())) == 1
    assert store.all() == ([record()], [])


def test_a_folder_in_the_place_of_a_record_is_set_aside_too(store: Store) -> None:
    (store.path(record().id) / "inside").mkdir(parents=True)
    assert "is not a plain file" in store.all()[1][0]
    store.write(record())
    assert store.read(record().id) == record()
    assert [(each / "inside").is_dir() for each in store.damaged.iterdir()] == [True]


def test_a_record_of_a_newer_version_is_refused_and_never_written_over(store: Store) -> None:
    newer = other(schema_version=SCHEMA_VERSION + 1, mood="good")
    store.records.mkdir()
    store.path(record().id).write_text(newer)
    version = SCHEMA_VERSION + 1
    reason = f"newer version of bench: its schema version is {version}, .*Upgrade bench, or choose another"
    for ask in (store.read, store.sound, store.finished):
        with pytest.raises(NewerRecord, match=reason):
            ask(record().id)
    with pytest.raises(NewerRecord, match=reason):
        store.write(record())
    assert store.path(record().id).read_text() == newer
    assert re.search(reason, store.all()[1][0])
    assert not store.damaged.exists()


def test_every_writing_changes_the_fingerprint(store: Store) -> None:
    prints = [store.fingerprint(record().id)]
    for _ in range(5):
        store.write(record())
        prints.append(store.fingerprint(record().id))
    assert prints[0] is None
    assert len(set(prints)) == 6


def test_hidden_and_temporary_files_are_no_records(store: Store) -> None:
    store.write(record())
    (store.records / f".{record().id}.json.abc.tmp").write_text("{")
    (store.records / ".hidden.json").write_text("{")
    assert store.all() == ([record()], [])


# Finding


@pytest.mark.parametrize("status", [*FAILED, "skipped"])
def test_only_what_is_ok_is_finished(status: str, store: Store) -> None:
    store.write(failed(status=status))
    assert store.finished(record().id) is None
    store.write(record())
    assert store.finished(record().id) == record()


def test_records_are_sorted_and_found_by_id(store: Store) -> None:
    made = [record(seed=seed) for seed in range(3)]
    for each in made:
        store.write(each)
    assert [each.id for each in store.all()[0]] == sorted(each.id for each in made)
    assert store.find(made[1].id[:8]) == made[1]
    with pytest.raises(UsageError, match=r"^No cell of .* has an id that starts with 'zz'\.$"):
        store.find("zz")
    with pytest.raises(UsageError, match=r"^3 cells of .* has an id that starts with ''\.$"):
        store.find("")

"""Records on disk: exact, whole or not at all, and no damaged one in anybody's way."""

from __future__ import annotations

import json
import math
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import failed, memory, parameters, record, speed
from pydantic import ValidationError

from bench.errors import StoreError, UsageError
from bench.files import STALE_SECONDS, write_atomically
from bench.measure.environment import anonymous
from bench.plugins.recipe import Recipe
from bench.records.record import FAILED, READABLE_VERSIONS, SCHEMA_VERSION, Data, ExtraTest, Record, new_record
from bench.records.store import NewerRecord, Store

FINITE = st.floats(-1e100, 1e100)


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
        chosen_epoch=1,
        recipe=Recipe(learning_rate=1e-3, epochs=2, chosen_by="me"),
        recipe_sources={"epochs": "suite mine"},
        parameters=parameters(),
        adapter_bytes=4608,
        inference_flops=645_600_768,
        memory=memory(),
        speed=speed(void="every gradient was zero"),
        data=Data(examples={"train": 3}, labels=["hé"], label_counts={"train": {"hé": 3}}, digest="sha256:00"),
        losses=[0.1, 0.2, 1 / 3],
        predictions=[1, [0, -1], 0.1],
        references=[1, [0, 2], 1e-300],
        extra_tests={
            "harder": ExtraTest(scores={"f1": None}, constant_score=0.5, predictions=[0, 1], references=[1, 1])
        },
        environment={"versions": {"torch": None}},
    )


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


@pytest.mark.parametrize(
    ("version", "lacks"),
    [
        (1, ("recipe_sources", "retries", "extra_tests", "inference_flops")),
        (2, ("recipe_sources", "retries", "inference_flops")),
        (3, ("recipe_sources", "retries")),
        (4, ("recipe_sources", "retries")),
        (5, ("recipe_sources",)),
        (6, ("recipe_sources",)),
    ],
)
def test_a_record_of_an_older_schema_version_is_read(store: Store, version: int, lacks: tuple[str, ...]) -> None:
    """It is one without what came later, and says of itself that it is an old one."""
    content = json.loads(record(speed=speed()).to_json())
    assert not any(content.pop(name) for name in lacks)
    assert content["speed"].pop("machine_gflops") is None
    assert content["speed"].pop("exclusive") is None
    assert content["cell"]["budget"].pop("score_on") == "test"
    store.records.mkdir()
    store.path(record().id).write_text(json.dumps({**content, "schema_version": version}), encoding="utf-8")
    assert store.all() == ([record(speed=speed()).model_copy(update={"schema_version": version})], [])
    assert store.finished(record().id) is not None
    assert SCHEMA_VERSION == max(READABLE_VERSIONS) == record().schema_version == 7


def test_a_record_on_an_extra_test_is_that_of_the_cell_with_its_answers() -> None:
    made = full().on("harder")
    assert (made.id, made.cell.task) == (full().id, "sms-spam/harder")
    assert (made.scores, made.constant_score) == ({"f1": None}, 0.5)
    assert (made.predictions, made.references, made.extra_tests) == ([0, 1], [1, 1], {})
    same = set(Record.model_fields) - {*ExtraTest.model_fields, "cell", "extra_tests"}
    assert all(getattr(made, name) == getattr(full(), name) for name in same)
    unknown = full().on("unheard of")
    assert (unknown.score, unknown.predictions, unknown.status) == (None, [], "ok")


@settings(max_examples=100)
@given(st.lists(FINITE, max_size=5), FINITE)
def test_floats_keep_every_bit(losses: list[float], score: float) -> None:
    again = Record(**json.loads(record(score=score, losses=losses).to_json()))
    assert [each.hex() for each in again.losses] == [each.hex() for each in losses]
    assert again.score is not None
    assert again.score.hex() == score.hex()


TEXT_OF_ANY_KIND = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ANSWERS = st.lists(st.integers(-1, 99) | FINITE | st.lists(st.integers(-1, 99), max_size=3), max_size=5)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["variant", "task", "model", "preset", "code"]), TEXT_OF_ANY_KIND),
    st.fixed_dictionaries(
        {},
        optional={
            "reason": TEXT_OF_ANY_KIND, "traceback": TEXT_OF_ANY_KIND, "metric": TEXT_OF_ANY_KIND,
            "scores": st.dictionaries(TEXT_OF_ANY_KIND, st.none() | FINITE, max_size=3),
            "losses": st.lists(FINITE, max_size=5), "predictions": ANSWERS, "references": ANSWERS,
            "timeline": st.dictionaries(TEXT_OF_ANY_KIND, FINITE, max_size=3),
            "last_step": st.integers(0, 2**63 - 1),
            "environment": st.dictionaries(TEXT_OF_ANY_KIND, TEXT_OF_ANY_KIND | FINITE | st.booleans(), max_size=3),
        },
    ),
)  # fmt: skip
def test_any_record_comes_back_from_disk_as_it_went(
    tmp_path_factory: pytest.TempPathFactory, of: dict[str, Any], changes: dict[str, Any]
) -> None:
    made = record(of=of, **changes)
    results = Store(tmp_path_factory.mktemp("results"))
    results.write(made)
    again = results.read(made.id)
    assert again is not None
    assert again == made
    assert again.to_json() == made.to_json()  # equal floats are the same floats, and 1 is not 1.0
    assert results.all() == ([made], [])
    assert [path.name for path in results.records.iterdir()] == [f"{made.id}.json"]


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


def test_the_score_is_the_metrics_and_unknown_without_one() -> None:
    assert record(score=0.25).score == 0.25
    assert record(metric=None).score is None
    assert failed().score is None


def test_which_states_are_failures() -> None:
    assert {"error", "oom", "timeout", "interrupted"} == set(FAILED)
    assert all(failed(status=status).failed for status in FAILED)
    assert not failed(status="skipped").failed
    assert not record().failed


def test_a_new_record_claims_nothing() -> None:
    made = new_record(record().cell)
    assert (made.id, made.status, made.score) == (record().id, "error", None)
    assert made.losses == made.predictions == []
    assert made.seeds == record().seeds
    assert made.parameters is made.memory is made.speed is made.recipe is None


def test_unknown_states_and_fields_are_refused() -> None:
    for wrong in ({"status": "fine"}, {"mood": "good"}, {"losses": ["x"]}):
        with pytest.raises(ValidationError):
            record(**wrong)


# Whole or not at all


def test_a_failure_in_the_middle_leaves_the_old_file_and_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(record())
    before = store.path(record().id).read_bytes()

    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StoreError, match=r"\.json cannot be written: No space left on device\.$"):
        store.write(record(score=0.9))
    assert store.path(record().id).read_bytes() == before
    assert [path.name for path in store.records.iterdir()] == [f"{record().id}.json"]


def test_an_interrupt_in_the_middle_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "made" / "board.csv"
    write_atomically(target, "old\r\n")

    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, "new")
    assert target.read_bytes() == b"old\r\n"
    assert [path.name for path in target.parent.iterdir()] == ["board.csv"]


def test_what_was_written_is_on_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, seen = tmp_path / "a.json", []
    real = os.fsync

    def watch(handle: int) -> None:
        seen.append((os.fstat(handle).st_size, target.exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", watch)
    write_atomically(target, "12345")
    assert seen[0] == (5, False)
    assert [named for _, named in seen] == [False, True]  # then the folder, which holds the name


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=re.escape(f"{tmp_path}/file/records/{record().id}.json cannot be written: ")):
        Store(tmp_path / "file").write(record())


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
        ("null", "it says None"),
        (other(schema_version=0), "it says 0"),
        (other(status="fine"), "is not a record: status: "),
        (other(mood="good"), "is not a record: mood: "),
        (other(cell={}), "is not a record: cell.method: "),
        (other(id="0123456789abcdef"), "holds the record of another cell, 0123456789abcdef"),
    ],
)
def test_a_damaged_record_is_named_and_stands_in_nobodys_way(content: str | bytes, reason: str, store: Store) -> None:
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


def test_a_damaged_record_makes_way_and_is_kept(store: Store) -> None:
    store.write(record())
    path = store.path(record().id)
    path.write_text(TEXT[:100])
    store.write(record(score=0.75))
    assert store.read(record().id) == record(score=0.75)
    assert [each.read_text() for each in store.damaged.iterdir()] == [TEXT[:100]]
    store.write(record())  # over a sound one
    assert len(list(store.damaged.iterdir())) == 1
    assert store.all() == ([record()], [])


def test_a_folder_makes_way_for_a_record(store: Store) -> None:
    (store.path(record().id) / "inside").mkdir(parents=True)
    store.write(record())
    assert store.read(record().id) == record()
    assert [(each / "inside").is_dir() for each in store.damaged.iterdir()] == [True]


def test_a_record_of_a_newer_version_is_refused_and_never_written_over(store: Store) -> None:
    newer = other(schema_version=SCHEMA_VERSION + 1, mood="good")
    store.records.mkdir()
    store.path(record().id).write_text(newer)
    reason = f"newer version of bench: it says {SCHEMA_VERSION + 1}, .*Upgrade bench, or choose another results folder"
    for ask in (store.read, store.sound, store.finished):
        with pytest.raises(NewerRecord, match=reason):
            ask(record().id)
    with pytest.raises(NewerRecord, match=reason):
        store.write(record())
    assert store.path(record().id).read_text() == newer
    assert re.search(reason, store.all()[1][0])
    assert not store.damaged.exists()


def test_every_writing_changes_the_stamp(store: Store) -> None:
    stamps = [store.stamp(record().id)]
    for _ in range(5):
        store.write(record())
        stamps.append(store.stamp(record().id))
    assert stamps[0] is None
    assert len(set(stamps)) == 6


def test_temporary_files_that_are_old_are_swept_and_others_stay(store: Store) -> None:
    store.write(record())
    files = [folder / f".{age}.json.tmp" for folder in (store.root, store.records) for age in ("old", "young")]
    for file in files:
        file.write_text("{")
        if file.name.startswith(".old"):
            os.utime(file, (0, time.time() - STALE_SECONDS - 60))
    store.remove_stale()
    assert [file.exists() for file in files] == [False, True, False, True]
    assert store.all() == ([record()], [])


def test_a_folder_in_the_place_of_a_record_is_a_fault(store: Store) -> None:
    store.path("0123456789abcdef").mkdir(parents=True)
    records, faults = store.all()
    assert records == []
    assert "is not a plain file" in faults[0]


def test_a_temporary_file_left_by_a_crash_is_no_record(store: Store) -> None:
    store.write(record())
    (store.records / f".{record().id}.json.abc.tmp").write_text("{")
    (store.records / ".hidden.json").write_text("{")
    assert store.all() == ([record()], [])


def test_an_empty_folder_has_no_records(store: Store) -> None:
    assert store.all() == ([], [])
    assert store.read("0123456789abcdef") is None
    assert store.finished("0123456789abcdef") is None


# Finding


@pytest.mark.parametrize("status", [*FAILED, "skipped"])
def test_only_what_is_ok_is_finished(status: str, store: Store) -> None:
    store.write(failed(status=status))
    assert store.finished(record().id) is None
    store.write(record())
    assert store.finished(record().id) == record()


def test_records_come_by_id(store: Store) -> None:
    made = [record(seed=seed) for seed in range(5)]
    for each in made:
        store.write(each)
    assert [each.id for each in store.all()[0]] == sorted(each.id for each in made)


def test_a_record_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    made = [record(seed=seed) for seed in range(3)]
    for each in made:
        store.write(each)
    assert store.find(made[1].id[:8]) == made[1]
    with pytest.raises(UsageError, match=r"^No cell of .* has an id that starts with 'zz'\.$"):
        store.find("zz")
    with pytest.raises(UsageError, match=r"^3 cells of .* has an id that starts with ''\.$"):
        store.find("")


def test_what_is_written_may_be_read_as_the_umask_says(tmp_path: Path) -> None:
    """A results folder on a shared disk is for everybody."""
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "board.csv", "a,b\n")
        os.umask(0o077)
        write_atomically(tmp_path / "mine.csv", "a,b\n")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("board.csv", "mine.csv")] == [0o644, 0o600]

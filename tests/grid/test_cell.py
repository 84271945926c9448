"""What a cell's identity depends on, and what not."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import PROFILE, cell
from pydantic import ValidationError

from bench.grid.cell import Cell
from bench.grid.suites import Budget
from bench.profiles import Profile

OTHER: dict[str, Any] = {
    "method": "pasta",
    "params": {"r": 8},
    "variant": "r=8",
    "task": "trec",
    "task_source": "./other.csv",
    "task_revision": "tree-sha256:ab",
    "model": "other",
    "model_source": "./other",
    "model_revision": "tree-sha256:ba",
    "preset": "full",
    "budget": Budget(train_examples=101),
    "recipe": {"epochs": 3},
    "pooling": "mean",
    "seed": 1,
    "code": "0123456789abcdee",
}
OTHER_PROFILE: dict[str, Any] = {
    "name": "other",
    "device": "cuda",
    "dtype": "bfloat16",
    "threads": 1,
    "workers": 2,
    "micro_batch_size": 16,
    "eval_batch_size": 64,
    "matmul_precision": "high",
    "deterministic": False,
    "min_cores": 2,
    "min_memory_mib": 2001,
    "min_gpu_memory_mib": 1,
    "gradient_checkpointing": True,
    "compile": True,
}
FOR_PLANNING = {"memory_mib": 1000, "gflops": 5.0}  # declared for `plan`: no number of a cell depends on them
OTHER_BUDGET: dict[str, Any] = {
    "train_examples": None,
    "validation_examples": 0,
    "test_examples": 5,
    "epochs_scale": 2.0,
    "choose": "best",
    "validate_every": 10,
    "score_on": "validation",
}


def test_every_field_is_tested_here() -> None:
    assert {*OTHER, "profile"} == set(Cell.model_fields)
    assert {*OTHER_PROFILE, *FOR_PLANNING, "summary"} == set(Profile.model_fields)
    assert set(OTHER_BUDGET) == set(Budget.model_fields)


@pytest.mark.parametrize(
    "change",
    [
        *({name: value} for name, value in OTHER.items()),
        # Not validated: one setting at a time.
        *({"profile": PROFILE.model_copy(update={name: value})} for name, value in OTHER_PROFILE.items()),
        *({"budget": cell().budget.model_copy(update={name: value})} for name, value in OTHER_BUDGET.items()),
    ],
)
def test_every_field_is_part_of_the_identity(change: dict[str, Any]) -> None:
    assert cell().model_copy(update=change).id != cell().id


@pytest.mark.parametrize("change", [{name: value} for name, value in FOR_PLANNING.items()])
def test_what_a_profile_declares_for_planning_is_no_part_of_it_nor_of_a_record(change: dict[str, float]) -> None:
    other = PROFILE.model_copy(update=change)
    assert cell(profile=other).id == cell().id
    assert cell(profile=other).model_dump_json() == cell().model_dump_json()


def test_a_cell_that_could_be_before_there_was_a_choice_is_the_cell_it_was() -> None:
    """Worked out by the commit before something else than test could be scored."""
    assert cell().id == "510f1877c053d788"


def test_the_profiles_text_for_people_is_not() -> None:
    assert cell(profile=PROFILE.model_copy(update={"summary": "another text"})).id == cell().id


# What a typed parameter or a suite's setting may be.
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)
)
# Values that Python takes for equal, or that look alike, come up often enough to be told apart.
ALIKE = st.sampled_from([0, 0.0, -0.0, False, None, "", "0", [], "null", 1, 1.0, True, "1", [1], ["1"], "True", 1e300])
PARAMS = st.dictionaries(st.sampled_from("abc"), ALIKE | SCALARS | st.lists(SCALARS, max_size=3), max_size=3)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are written alike: 1, 1.0 and True, and 0.0 and -0.0, are not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@settings(max_examples=150)
@given(PARAMS, PARAMS, st.sampled_from(["params", "recipe"]))
def test_no_two_cells_share_an_id_and_no_cell_has_two(one: dict[str, Any], other: dict[str, Any], field: str) -> None:
    """1, 1.0 and True are three cells: run more often than necessary, but never taken for each other."""
    assert (cell(**{field: one}).id == cell(**{field: other}).id) == same(one, other)


@settings(max_examples=100)
@given(PARAMS, st.integers(0, 2**70), st.text(max_size=5), st.randoms())
def test_neither_the_order_of_fields_nor_the_way_through_json_changes_an_id(
    params: dict[str, Any], seed: int, name: str, random: Any
) -> None:
    made = cell(name, seed, params=params, recipe=params)
    assert re.fullmatch("[0-9a-f]{16}", made.id)
    fields, entries = list(made.model_dump(mode="json").items()), list(params.items())
    random.shuffle(fields)
    random.shuffle(entries)
    assert Cell(**dict(fields)).id == made.id
    assert Cell(**json.loads(json.dumps(dict(fields)))).id == made.id
    assert cell(name, seed, params=dict(entries), recipe=dict(entries)).id == made.id


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", ["params", "recipe"])
def test_what_is_no_number_has_no_identity(number: float, field: str) -> None:
    """JSON would have none of them, or null for all of them: one id for three cells."""
    for value in (number, [1.0, number]):
        with pytest.raises(ValidationError, match="not JSON compliant"):
            cell(**{field: {"a": value}})


def test_labels_are_what_the_command_line_takes() -> None:
    assert cell("lora", variant="r=4").label == "lora[r=4] on sms-spam"
    assert cell("lora").label == "lora on sms-spam"

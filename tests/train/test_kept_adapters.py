"""What `--keep-adapters` leaves: folders with names for people, a model card, and `bench.load_adapter`."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import tiny as tiny_bert
import tiny_grid
import torch
from made import cell
from tiny_grid import TinyGrid

import bench
from bench import profiles
from bench.errors import SourceError, UsageError
from bench.grid.suites import Budget
from bench.leaderboard.tables import Tables
from bench.plugins import registry
from bench.plugins.specs import build_method, changed_params, parse
from bench.records.record import Record
from bench.sources.digest import tree_digest
from bench.train import cell as cells
from bench.train import kept, worker
from bench.train.assignment import Assignment


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("kept"))


def run(grid: TinyGrid, results: Path | None, spec: str, **changes: Any) -> Record:
    """A cell on the tiny task; results: where its adapter is kept."""
    method = build_method(registry.methods(), parse(spec))
    recipe = {"epochs": 3, "min_steps": 0, "batch_size": 4, "learning_rate": 3e-2}
    made = cell(
        method.name, task="tiny", profile=profiles.load(str(grid.profile)), budget=Budget(), recipe=recipe,
        params=method.params.model_dump(mode="json"), variant=changed_params(method.params),
        model_source=str(grid.model), model_revision=tree_digest(grid.model), **changes,
    )  # fmt: skip
    task = grid.folder / "tiny_task.py"
    job = Assignment(made, grid.folder / "tiny.tsv", grid.model, (task,), 1, results, keep_adapter=results is not None)
    with mock.patch.object(cells, "matmul_gflops", return_value=1.0), mock.patch.object(gc, "collect"):
        record, _ = worker.run_cell(job, lambda data: None)
    assert record.status == "ok", record.traceback
    return record


def texts(grid: TinyGrid) -> list[str]:
    lines = (line.split("\t") for line in (grid.folder / "tiny.tsv").read_text(encoding="utf-8").splitlines())
    return [text for split, _, text in lines if split == "test"]


@pytest.mark.parametrize("spec", ["pasta", "lora[r=4]", "prompt_tuning"])
@pytest.mark.parametrize("pooling", ["model", "mean"])
def test_one_line_gives_a_cells_model_back(grid: TinyGrid, spec: str, pooling: str, tmp_path: Path) -> None:
    record = run(grid, tmp_path, spec, pooling=pooling)
    folder = tmp_path / (record.adapter or "")
    assert folder.parent == tmp_path / "adapters"
    model, tokenizer = bench.load_adapter(folder)
    assert not model.training
    assert tokenizer.model_max_length == 16
    assert model.config.id2label == {0: "bad", 1: "good"}
    with torch.no_grad():
        found = [int(model(**tokenizer(text, return_tensors="pt")).logits.argmax()) for text in texts(grid)]
    assert found == list(record.predictions)
    shown = (folder / "README.md").read_text(encoding="utf-8")
    in_pefts = spec != "pasta" and pooling == "model"
    assert ("PeftModel.from_pretrained" in shown) == (folder / "adapter_config.json").exists() == in_pefts
    assert f"accuracy {record.score:.4f} on test" in shown
    assert record.cell.model_revision in shown
    assert f'bench.load_adapter("{folder.name}")' in shown
    assert [line["adapter"] for line in Tables([record]).lines("cells")] == [record.adapter]


def test_names_are_for_people_and_differ_where_cells_do(grid: TinyGrid, tmp_path: Path) -> None:
    plain = run(grid, tmp_path, "head")
    (tmp_path / "adapters" / "head-tiny-seed0" / "left over").write_text("of the earlier run")
    again = run(grid, tmp_path, "head")
    assert not (tmp_path / "adapters" / "head-tiny-seed0" / "left over").exists()
    assert plain.adapter == again.adapter == "adapters/head-tiny-seed0"
    other = run(grid, tmp_path, "head", preset="full")
    assert other.adapter == f"adapters/head-tiny-seed0-{other.id[:8]}"
    assert {folder.name for folder in (tmp_path / "adapters").iterdir()} == {
        "head-tiny-seed0", f"head-tiny-seed0-{other.id[:8]}"
    }  # fmt: skip
    for record in (plain, other):
        assert kept.read(tmp_path / (record.adapter or "")).cell == record.id
    assert run(grid, None, "head").adapter is None


def test_a_card_shows_labels_of_any_text_as_they_are(grid: TinyGrid, tmp_path: Path) -> None:
    record = run(grid, tmp_path, "head")
    folder = tmp_path / (record.adapter or "")
    about = kept.read(folder).model_copy(update={"labels": ["a\n# b", "<b>"]})
    (line,) = (line for line in kept.card(about, record, folder).splitlines() if line.startswith("- Labels"))
    assert "# b" in line
    assert "<b>" not in line


def test_an_adapter_is_not_written_through_a_link(grid: TinyGrid, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "head-tiny-seed0").symlink_to(tmp_path / "elsewhere")
    record = run(grid, tmp_path, "head")
    assert record.adapter == f"adapters/head-tiny-seed0-{record.id[:8]}"
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("method", "variant", "task", "name"),
    [
        ("lora", "r=4,targets=query+key", "rt-polarity", "lora-r-4-targets-query-key-rt-polarity-seed0"),
        ("peft:vera", "", "Films@1a2b3c4d", "peft-vera-films-1a2b3c4d-seed0"),
        ("head", "", "../x: y*?\\|<>\u00e9", "head-..-x-y-seed0"),
        ("head", "", "x" * 300, f"head-{'x' * 95}-seed0"),
        ("head", "", "x" * 94 + ".y", f"head-{'x' * 94}-seed0"),
    ],
)
def test_names_are_safe_on_every_file_system(method: str, variant: str, task: str, name: str) -> None:
    made = cell(method, variant=variant, task=task)
    assert list(kept._names(made)) == [name, f"{name}-{made.id[:8]}"]
    assert re.fullmatch(r"[a-z0-9][a-z0-9_.-]*[a-z0-9]", name)


def test_what_cannot_be_loaded_says_why(grid: TinyGrid, tmp_path: Path) -> None:
    folder = tmp_path / (run(grid, tmp_path, "pasta").adapter or "")
    with pytest.raises(UsageError, match=r"nothing is not an adapter that `run --keep-adapters` wrote: cell\.json"):
        bench.load_adapter(tmp_path / "nothing")
    other = tiny_bert.save(tmp_path / "other", initializer_range=0.5)
    with pytest.raises(UsageError, match=r"was trained on minilm-l6, tree-sha256:.*, and .*/other is tree-sha256:"):
        bench.load_adapter(folder, model=other)
    moved = grid.model.rename(tmp_path / "moved")
    try:
        with pytest.raises(SourceError, match=r"tiny-bert\. Give the base model with model=FOLDER\."):
            bench.load_adapter(folder)
        assert bench.load_adapter(folder, model=moved)
    finally:
        moved.rename(grid.model)
    (folder / kept.ABOUT).write_text("{}")
    with pytest.raises(UsageError, match=r"cell\.json is wrong: cell"):
        bench.load_adapter(folder)

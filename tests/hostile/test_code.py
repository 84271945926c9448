"""Code that comes with weights and data is never run: a canary file says whether it was."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.errors import SourceError, UsageError
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.train.adaptation import restore
from bench.train.data import read
from bench.train.model import load_config, load_model, load_tokenizer


class Evil:
    """Unpickling it creates a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return (Path.touch, (self.canary,))


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that does not exist, and must not after the test."""
    file = tmp_path / "canary"
    yield file
    assert not file.exists()


@pytest.fixture
def model(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """A copy of a sound model folder."""
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


def code(canary: Path) -> str:
    """A module that creates the file when it is imported, with every class that may be requested."""
    return (
        f"open({str(canary)!r}, 'w').close()\n"
        "from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast\n"
        "class Config(BertConfig):\n    model_type = 'evil'\n"
        "class Model(BertForSequenceClassification):\n    config_class = Config\n"
        "class Tokenizer(BertTokenizerFast):\n    pass\n"
    )


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_running_the_code_creates_the_canary(canary: Path, tmp_path: Path) -> None:
    """These tests rely on it."""
    pickle.loads(pickle.dumps(Evil(canary)))
    assert canary.exists()
    canary.unlink()
    exec(code(canary), {})
    assert canary.exists()
    canary.unlink()


@pytest.mark.parametrize("save", [pickle.dump, torch.save])
def test_a_pickle_offered_as_weights_is_not_loaded(model: Path, canary: Path, save: Any) -> None:
    def put(*names: str) -> None:
        for name in names:
            with (model / name).open("wb") as file:
                save({"x": Evil(canary)}, file)

    put("pytorch_model.bin", "training_args.bin", "optimizer.pt", "tokenizer.pkl", "model.pt")
    load_model(model, "classification", 2)
    load_tokenizer(model)
    (model / "model.safetensors").unlink()
    for names in ((), ("model.safetensors",)):
        put(*names)
        with pytest.raises(SourceError, match=r"encoder in .* cannot be loaded"):
            load_model(model, "classification", 2)


@pytest.mark.parametrize("method", ["lora[r=2]", "pasta", "peft:ia3", "head"])
def test_a_pickle_offered_as_an_adapter_is_not_loaded(
    tiny: Any, tmp_path: Path, canary: Path, method: str, tiny_context: Callable[..., Any]
) -> None:
    made = build_method(registry.methods(), parse(method))
    (tmp_path / "adapter.json").write_text(json.dumps({"method": made.name, "params": {}}))
    for name in ("adapter_model.bin", "adapter.bin", "pytorch_model.bin", "adapter.pt", "adapter.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(Evil(canary)))
        with pytest.raises(UsageError, match="adapter cannot be put"):
            restore(tiny.model("classification"), made, tmp_path, tiny_context("classification"))


@pytest.mark.parametrize("model_type", ["evil", "bert"])
def test_a_models_own_code_is_not_run(model: Path, canary: Path, model_type: str) -> None:
    """Neither that of a new architecture, which is refused, nor a new version of a known one."""
    (model / "evil.py").write_text(code(canary))
    classes = {
        "AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model",
        "AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"],
    }  # fmt: skip
    edit(model / "config.json", model_type=model_type, auto_map=classes, trust_remote_code=True)
    edit(model / "tokenizer_config.json", auto_map=classes, tokenizer_class="Tokenizer")
    for load in (load_config, load_tokenizer, lambda path: load_model(path, "classification", 2)):
        try:
            load(model)
        except SourceError:
            assert model_type == "evil" or load is load_tokenizer


@pytest.mark.parametrize("attention", ["kernels-community/flash-attn", "flash_attention_2", "evil/kernel@main:f", 7])
def test_a_models_file_chooses_no_attention_from_the_hub(
    model: Path, attention: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers would download such a kernel, compiled code, and run it, whatever `trust_remote_code` says."""
    from transformers.integrations import hub_kernels

    monkeypatch.setattr(hub_kernels, "load_and_register_attn_kernel", lambda *a, **k: pytest.fail("it was fetched"))
    edit(model / "config.json", attn_implementation=attention, _attn_implementation=attention)
    assert load_model(model, "classification", 2).config._attn_implementation == "sdpa"


# Data


def write_parquet(file: Path, **columns: Any) -> None:
    """A split as glue-rte reads it; columns replace those of two sound rows."""
    import pyarrow
    import pyarrow.parquet

    sound = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [0, 1]}
    pyarrow.parquet.write_table(pyarrow.table({**sound, **columns}), file)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder as glue-rte reads it."""
    folder = tmp_path / "rte"
    folder.mkdir()
    texts = [f"text {at}" for at in range(300)]
    write_parquet(folder / "train-0.parquet", sentence1=texts, sentence2=texts, label=[0, 1] * 150)
    write_parquet(folder / "validation-0.parquet")
    return folder


def read_rte(folder: Path) -> Any:
    return read(registry.tasks().get("glue-rte").plugin(), folder)


def test_a_data_sets_loading_script_is_not_run(data: Path, canary: Path) -> None:
    for name in ("rte.py", "glue.py", "dataset.py", "__init__.py"):
        (data / name).write_text(code(canary))
    (data / "dataset_infos.json").write_text("{}")
    assert len(read_rte(data)["test"]) == 2


@pytest.mark.parametrize(
    "columns", [{"label": [-1, 0]}, {"label": [2, 0]}, {"label": [10**12, 0]}, {"sentence1": [b"a", b"b"]}]
)
def test_a_label_or_text_that_the_task_does_not_know_is_refused(data: Path, columns: dict[str, Any]) -> None:
    """-1, with which hubs hide a test's labels, would otherwise count as the last one."""
    write_parquet(data / "validation-0.parquet", **columns)
    with pytest.raises(
        SourceError, match=r"validation-0.parquet, row 1: (there is no label|b'a' is not a text)"
    ) as raised:
        read_rte(data)
    assert ("-1 hides the labels" in str(raised.value)) == (columns == {"label": [-1, 0]})


@pytest.mark.parametrize("columns", [{"label": [None, 0]}, {"sentence1": [None, "a"]}])
def test_a_row_without_a_text_or_a_label_is_counted(data: Path, columns: dict[str, Any]) -> None:
    write_parquet(data / "validation-0.parquet", **columns)
    splits = read_rte(data)
    assert (len(splits["test"]), splits.dropped) == (1, 1)


LAUGHS = "".join(f'<!ENTITY l{at} "{f"&l{at - 1};" * 10}">' for at in range(1, 12))
XML = {
    "a billion laughs": f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a><b><AddressNumber>&l11;</AddressNumber></b></a>',
    "a file of this machine": '<!DOCTYPE a [<!ENTITY f SYSTEM "FILE">]><a><b><ZipCode>&f;</ZipCode></b></a>',
    "an unknown part": "<a><b><Planet>Mars</Planet></b></a>",
}  # fmt: skip


@pytest.mark.parametrize("attack", XML)
def test_xml_neither_explodes_nor_reads_other_files(attack: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("12345")
    folder = tmp_path / "addresses"
    folder.mkdir()
    for name in ("labeled.xml", "us50_messiest_manual_label.xml"):
        (folder / name).write_text(XML[attack].replace("FILE", secret.as_uri()))
    with pytest.raises(SourceError, match="us-address cannot be read") as error:
        read(registry.tasks().get("us-address").plugin(), folder)
    assert "12345" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"text,spam\n", b"text\nx\n", b"text,spam\nx,many\n", b"text,spam\nx,7\n", b"text,spam\nx\n",
     b"text,spam\n" + b"x" * 200_000 + b",1\n", b'text,spam\n"x,1\n', b"\0,\0\n\0,1\n"],
)  # fmt: skip
def test_a_table_that_is_not_the_tasks_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "sms.csv").write_bytes(content)
    with pytest.raises(SourceError, match=r"sms-spam|sms\.csv"):
        read(registry.tasks().get("sms-spam").plugin(), tmp_path / "sms.csv")

"""Loading, telling head from backbone, the special tokens of a task, and drawing a head."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny as tiny_bert
import torch

from bench.errors import SourceError
from bench.plugins.task import TaskContext
from bench.train.model import backbone, context, head_parameters, init_head, load_model, load_tokenizer

CLS, SEP, PAD = tiny_bert.CLS, tiny_bert.SEP, tiny_bert.PAD


def test_a_context_tells_the_special_tokens_of_a_full_input(tiny_context: Callable[..., TaskContext]) -> None:
    single, pair = tiny_context("classification"), tiny_context("classification", pair=True)
    assert (single.template, single.pad_id, single.num_labels, single.pair) == ((CLS, SEP), PAD, 3, False)
    assert (pair.template, pair.num_labels, pair.pair) == ((CLS, SEP, SEP), 2, True)
    assert tiny_context("regression").num_labels == 1
    words = tiny_context("token-classification")
    assert (words.template, words.kind, words.num_labels) == ((CLS, SEP), "token-classification", 3)


def test_a_tokenizer_that_frames_pairs_with_four_tokens_gives_four_slots() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", cls_token="<s>", sep_token="</s>", unk_token="<unk>"
    )
    assert context(tiny_bert.task("pair"), tokenizer).template == (0, 2, 2, 2)
    assert context(tiny_bert.task("classification"), tokenizer).template == (0, 2)
    assert context(tiny_bert.task("pair"), tokenizer).pad_id == 1


@pytest.mark.parametrize("kind", tiny_bert.KINDS)
def test_the_model_is_the_pretrained_one_in_full_precision(tiny: Any, kind: str) -> None:
    model = tiny.model(kind)
    saved = tiny_bert.safetensors(tiny.path)
    for name, parameter in backbone(model).named_parameters():
        assert torch.equal(parameter, saved[name]), name
        assert parameter.dtype == torch.float32
    assert {name for name, _ in model.named_parameters() if not name.startswith("bert.")} == {
        "classifier.weight",
        "classifier.bias",
    }
    assert [id(p) for p in head_parameters(model)] == [id(p) for p in model.classifier.parameters()]
    assert (model.bert.pooler is None) == (kind == "token-classification")


def test_the_head_is_drawn_from_its_seed_alone(tiny: Any) -> None:
    one, other = tiny.model("pair"), tiny.model("pair")
    body = [p.detach().clone() for p in backbone(one).parameters()]
    torch.manual_seed(0)
    init_head(one, 5)
    state = torch.random.get_rng_state()
    torch.manual_seed(99)
    init_head(other, 5)
    assert torch.equal(one.classifier.weight, other.classifier.weight)
    torch.manual_seed(0)
    assert torch.equal(state, torch.random.get_rng_state())  # nor does it take from the global stream
    init_head(other, 6)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    assert all(torch.equal(p, old) for p, old in zip(backbone(one).parameters(), body, strict=True))
    other.classifier = torch.nn.Linear(32, 1000)
    init_head(other, 0)
    assert other.classifier.weight.std().item() == pytest.approx(0.2, rel=0.03)  # 32,000 draws: 0.4 % is one error
    assert not other.classifier.bias.any()


@pytest.mark.parametrize(
    "broken", ["nothing", "no weights", "pickled weights", "damaged weights", "no config", "config"]
)
def test_a_folder_that_is_no_model_is_an_error_of_its_files(tiny_model_dir: Path, tmp_path: Path, broken: str) -> None:
    folder = tmp_path / "model"
    if broken != "nothing":
        shutil.copytree(tiny_model_dir, folder)
    if broken in ("no weights", "pickled weights"):
        (folder / "model.safetensors").unlink()
    if broken == "pickled weights":
        torch.save(tiny_bert.safetensors(tiny_model_dir), folder / "pytorch_model.bin")
    elif broken == "damaged weights":
        (folder / "model.safetensors").write_bytes(b"not tensors")
    elif broken == "no config":
        (folder / "config.json").unlink()
    elif broken == "config":
        (folder / "config.json").write_text("{")
    with pytest.raises(SourceError, match=r"The encoder in .* cannot be loaded"):
        load_model(folder, "classification", 2)


def test_a_folder_without_a_tokenizer_is_said_to_have_none(tmp_path: Path) -> None:
    tiny_bert.config().save_pretrained(tmp_path)
    with pytest.raises(SourceError, match=r"The tokenizer in .* cannot be loaded"):
        load_tokenizer(tmp_path)


def test_a_full_training_writes_to_its_own_copy_of_the_weights(tiny_model_dir: Path) -> None:
    one, other = (load_model(tiny_model_dir, "classification", 2) for _ in range(2))
    before = {name: parameter.detach().clone() for name, parameter in other.base_model.named_parameters()}
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(1)
    for model in (other, load_model(tiny_model_dir, "classification", 2)):
        assert all(torch.equal(p, before[name]) for name, p in model.base_model.named_parameters())

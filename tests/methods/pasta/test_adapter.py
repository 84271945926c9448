"""PASTA on a model of one's own: attached in a line, trained by any loop, saved, loaded, several at a time."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders as families
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.nn import functional

from methods import pasta
from methods.pasta.attachment import attachment

LABELS = torch.tensor([0, 1, 2, 1])
EIGHT = [f"task-{index}" for index in range(8)]


def model_with_head(num_labels: int = 3, family: str = "bert") -> Any:
    model = families.model(family, num_labels=num_labels)
    if num_labels != 3:  # drawn in another order
        model.base_model.load_state_dict(families.model(family).base_model.state_dict())
    return model


def attached(family: str = "bert", pair: bool = False, seed: int = 0, **options: Any) -> Any:
    model = model_with_head(family=family)
    torch.manual_seed(seed)
    return pasta.attach(model, families.tokenizer(family), pair=pair, init_std=0.5, dropout=0.0, **options)


def own_head(model: Any, seed: int) -> None:
    """Another head than any other adapter's, in the model's own place."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter.normal_(std=0.3)


def trainable(model: Any) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


# Attaching


def test_transformers_trainer_trains_it_as_a_plain_loop_does(tmp_path: Path) -> None:
    inputs = families.inputs("bert", pair=False)
    rows = [{**{key: value[at] for key, value in inputs.items()}, "labels": LABELS[at]} for at in range(4)]
    settings = transformers.TrainingArguments(
        output_dir=str(tmp_path), per_device_train_batch_size=4, max_steps=3, learning_rate=0.01,
        lr_scheduler_type="constant", optim="adamw_torch", weight_decay=0.0, max_grad_norm=0.0, report_to=[],
        save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True,
        train_sampling_strategy="sequential",
    )  # fmt: skip
    theirs, mine = families.no_dropout(attached()), families.no_dropout(attached())
    transformers.Trainer(model=theirs, args=settings, train_dataset=rows).train()
    optimizer = torch.optim.AdamW((p for p in mine.parameters() if p.requires_grad), lr=0.01, weight_decay=0.0)
    mine.train()
    for _ in range(3):
        mine(**inputs, labels=LABELS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    names = trainable(mine)
    assert names == trainable(theirs)
    ours, start = dict(mine.named_parameters()), dict(attached().named_parameters())
    for name, parameter in theirs.named_parameters():
        assert torch.allclose(parameter, ours[name], atol=1e-6)
        assert torch.equal(parameter, start[name]) == (name not in names)


def test_a_bare_backbone_trains_its_vectors_alone() -> None:
    model = transformers.AutoModel.from_config(families.config("bert"))
    pasta.attach(model, families.tokenizer("bert"))
    assert trainable(model) == {"pasta.adapters.default.vectors"}
    before = model(**families.inputs("bert", pair=False)).last_hidden_state
    pasta.use(model, None)
    assert not torch.equal(model(**families.inputs("bert", pair=False)).last_hidden_state, before)


@pytest.mark.parametrize("params", [{"tokens": "mask"}, {"slots": 3}, {"layers": (9,)}, {"dropout": 1}])
def test_wrong_parameters_are_refused_and_leave_the_model_alone(params: dict[str, Any]) -> None:
    model = model_with_head()
    with pytest.raises(ValueError, match=next(iter(params))):
        pasta.attach(model, families.tokenizer("bert"), **params)
    assert not hasattr(model.bert, "pasta")
    assert len(trainable(model)) == len(list(model.parameters()))


def test_a_tokenizer_without_special_tokens_is_refused() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    raw = Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    plain = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")
    with pytest.raises(ValueError, match="no special tokens"):
        pasta.attach(model_with_head(), plain)


def test_a_pair_for_an_adapter_of_single_texts_is_warned_of_once() -> None:
    model = attached("bert", pair=False)
    with pytest.warns(UserWarning, match=r"3 special tokens, and the adapter has vectors for 2.*pair=True"):
        model(**families.inputs("bert", pair=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(**families.inputs("bert", pair=True))
        attached("bert", pair=True)(**families.inputs("bert", pair=True))


def test_the_functions_are_listed() -> None:
    assert {"attach", "save", "load", "use", "names"} <= set(dir(pasta))


def test_what_was_never_attached_says_so() -> None:
    for ask in (pasta.names, lambda model: pasta.use(model, "x"), lambda model: pasta.save(model, "nowhere")):
        with pytest.raises(ValueError, match=r"call pasta\.attach"):
            ask(model_with_head())


# Saving and loading


@pytest.mark.parametrize("family", families.NAMES)
def test_what_is_saved_is_restored_bit_for_bit(tmp_path: Path, family: str) -> None:
    model, inputs = attached(family, pair=True), families.inputs(family)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    pasta.save(model, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"adapter.safetensors", "adapter.json"}
    other = model_with_head(family=family)
    assert not torch.equal(other(**inputs).logits, model(**inputs).logits)
    pasta.load(other, tmp_path)
    assert torch.equal(other(**inputs).logits, model(**inputs).logits)
    assert not trainable(other) & {"bert.pasta.adapters.default.vectors"}
    mine, its = attachment(model).adapter("default"), attachment(other).adapter("default")
    assert (mine.layout, mine.template, mine.params) == (its.layout, its.template, its.params)


def test_the_file_says_what_it_is_for(tmp_path: Path) -> None:
    model = attached("bert", pair=True, layers=(0, 2), tokens="sep")
    model.config._name_or_path, model.config._commit_hash = "google-bert/bert-tiny", "0" * 40
    pasta.save(model, tmp_path)
    about = json.loads((tmp_path / "adapter.json").read_text())
    assert about["method"] == "pasta"
    assert about["base"] == {
        "name": "google-bert/bert-tiny", "revision": "0" * 40, "model_type": "bert", "hidden_size": 32, "layers": 3,
    }  # fmt: skip
    assert (about["special_ids"], about["slots"], about["layers"]) == ([2, 3, 3], [1, 2], [0, 2])
    assert about["num_labels"] == 3
    assert about["params"]["tokens"] == "sep"
    tensors = load_file(tmp_path / "adapter.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        "vectors": (2, 2, 32), "head.classifier.weight": (3, 32), "head.classifier.bias": (3,),
    }  # fmt: skip


BROKEN: dict[str, Any] = {
    "no json": ("no adapter.json", lambda folder: (folder / "adapter.json").unlink()),
    "not json": ("adapter.json is wrong", lambda folder: (folder / "adapter.json").write_text("{")),
    "another method": ("wrong at 'method'", lambda folder: edit(folder, method="lora")),
    "a newer format": ("wrong at 'format'", lambda folder: edit(folder, format=99)),
    "another width": ("does not fit.*hidden_size is 64", lambda folder: edit(folder, hidden_size=64)),
    "garbage": ("cannot be read", lambda folder: (folder / "adapter.safetensors").write_bytes(b"garbage" * 9)),
    "a pickle": ("cannot be read", lambda folder: torch.save({"a": LABELS}, folder / "adapter.safetensors")),
    "one tensor less": (
        "does not fit.*head.classifier.bias",
        lambda folder: edit_tensors(folder, "head.classifier.bias"),
    ),
    "another head": ("does not fit.*classifier", lambda folder: None),
    "another shape": ("does not fit.*vectors", lambda folder: edit_tensors(folder, vectors=torch.zeros(1, 2, 32))),
}


def edit(folder: Path, **changes: Any) -> None:
    """Change fields of adapter.json, or of the base model that it names."""
    about = json.loads((folder / "adapter.json").read_text())
    for name, value in changes.items():
        (about if name in about else about["base"])[name] = value
    (folder / "adapter.json").write_text(json.dumps(about))


def edit_tensors(folder: Path, without: str = "", **changes: torch.Tensor) -> None:
    tensors = {**load_file(folder / "adapter.safetensors"), **changes}
    save_file({name: tensor for name, tensor in tensors.items() if name != without}, folder / "adapter.safetensors")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_or_foreign_adapter_is_refused_and_leaves_the_model_alone(tmp_path: Path, name: str) -> None:
    reason, spoil = BROKEN[name]
    pasta.save(attached(), tmp_path)
    spoil(tmp_path)
    model = model_with_head(num_labels=2 if name == "another head" else 3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=reason):
        pasta.load(model, tmp_path)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_an_adapter_for_other_tokens_does_not_go_into_one_that_is_there(tmp_path: Path) -> None:
    pasta.save(attached(tokens="cls"), tmp_path)
    with pytest.raises(ValueError, match="other tokens or layers"):
        pasta.load(attached(tokens="sep"), tmp_path)


# Several adapters


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight adapters with vectors and heads of their own: for one text or pairs, of 2 to 4 labels, some ablated."""
    folders = []
    for index, name in enumerate(EIGHT):
        folder = tmp_path_factory.mktemp(name)
        model = model_with_head(num_labels=2 + index % 3)
        torch.manual_seed(index)
        options: dict[str, Any] = [{}, {"tokens": "cls"}, {"layers": (0, 2)}, {"share_slots": True}][index % 4]
        pasta.attach(model, families.tokenizer("bert"), pair=index % 2 == 1, init_std=0.5, **options)
        own_head(model, index)
        pasta.save(model, folder)
        folders.append(folder)
    return folders


def alone(folder: Path, index: int, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    model = pasta.load(model_with_head(num_labels=2 + index % 3), folder)
    with torch.no_grad():
        logits: torch.Tensor = model(**inputs).logits
    return logits


def serving(folders: list[Path]) -> Any:
    model = model_with_head(num_labels=2)
    for name, folder in zip(EIGHT, folders, strict=True):
        pasta.load(model, folder, name)
    return model


def batch_of_32() -> dict[str, torch.Tensor]:
    tokenizer = families.tokenizer("bert")
    texts = [f"{text} {other}" for text in families.TEXTS for other in families.OTHERS]
    others = [other for other in families.OTHERS for _ in families.TEXTS]
    single = tokenizer(texts, truncation=True, max_length=40)["input_ids"]
    pairs = tokenizer(families.TEXTS * 4, others, truncation=True, max_length=40)["input_ids"]
    rows = [ids for both in zip(single, pairs, strict=True) for ids in both]
    return dict(tokenizer.pad({"input_ids": rows}, return_tensors="pt"))


def test_a_batch_of_32_with_eight_adapters_equals_eight_separate_runs(eight: list[Path]) -> None:
    model, inputs = serving(eight), batch_of_32()
    assert inputs["input_ids"].shape[0] == 32
    assert pasta.names(model) == EIGHT
    torch.manual_seed(0)
    indices = torch.arange(8).repeat(4)[torch.randperm(32)]
    with torch.no_grad():
        together = model(**inputs, adapters=indices).logits
        by_name = model(**inputs, adapters=[EIGHT[index] for index in indices]).logits
        pasta.use(model, indices)
        by_use = model(**inputs).logits
    assert together.shape == (32, 4)
    assert torch.equal(by_name, together)
    assert torch.equal(by_use, together)
    spread = []
    for index, folder in enumerate(eight):
        want, labels, mine = alone(folder, index, inputs), 2 + index % 3, indices == index
        assert mine.sum() == 4
        assert (together[mine, :labels] - want[mine]).abs().max() <= 1e-6
        assert (together[mine, labels:] == float("-inf")).all()
        spread.append(want[:, :2])
    differences = torch.stack(spread).std(0)  # the eight are eight different models
    assert differences.min() > 1e-3


def test_adapters_are_switched_by_name_for_one_call_or_from_now_on(eight: list[Path]) -> None:
    model, inputs = serving(eight), batch_of_32()
    want = {name: alone(folder, index, inputs) for index, (name, folder) in enumerate(zip(EIGHT, eight, strict=True))}
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, want["task-7"])  # the one loaded last is in use
        assert torch.equal(model(**inputs, adapters="task-3").logits, want["task-3"])
        assert torch.equal(model(**inputs).logits, want["task-7"])
        pasta.use(model, "task-1")
        assert torch.equal(model(**inputs).logits, want["task-1"])
        base = model_with_head(num_labels=2)
        base.classifier.load_state_dict(model.classifier.state_dict())
        assert torch.equal(model(**inputs, adapters=None).logits, base(**inputs).logits)


@pytest.mark.parametrize("kind", ["classification", "token-classification"])
@pytest.mark.parametrize("family", families.NAMES)
def test_per_example_adapters_work_on_every_family(tmp_path: Path, family: str, kind: Any) -> None:
    inputs, wants = families.inputs(family, pair=True), []
    for index in (0, 1):
        model = families.model(family, kind)
        torch.manual_seed(index)
        pasta.attach(model, families.tokenizer(family), pair=True, init_std=0.5)
        own_head(model, index)
        pasta.save(model, tmp_path / str(index))
        wants.append(model(**inputs).logits)
    model = families.model(family, kind)
    for index in (0, 1):
        pasta.load(model, tmp_path / str(index), f"a{index}")
    got = model(**inputs, adapters=torch.tensor([1, 0, 0, 1])).logits
    want = torch.stack([wants[1][0], wants[0][1], wants[0][2], wants[1][3]])
    assert (got - want).abs().max() <= 1e-6
    assert (wants[0] - wants[1]).abs().max() > 1e-3


def test_a_second_adapter_trains_alone_with_a_head_of_its_own() -> None:
    model, inputs = attached(), families.inputs("bert", pair=False)
    first = model(**inputs).logits
    pasta.attach(model, families.tokenizer("bert"), name="second", num_labels=5, dropout=0.0)
    assert trainable(model) == {
        "bert.pasta.adapters.second.vectors", "bert.pasta.heads.second.classifier.weight",
        "bert.pasta.heads.second.classifier.bias",
    }  # fmt: skip
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=1.0)
    logits = model(**inputs).logits
    assert logits.shape == (4, 5)
    functional.cross_entropy(logits, LABELS).backward()
    optimizer.step()
    assert not torch.equal(model(**inputs).logits, logits)
    assert torch.equal(model(**inputs, adapters="default").logits, first)


def test_a_mixed_batch_trains_each_adapter_as_it_would_alone() -> None:
    model, inputs = attached(), families.inputs("bert", pair=False)
    torch.manual_seed(5)
    pasta.attach(model, families.tokenizer("bert"), name="second", init_std=0.5, dropout=0.0)
    first, second = (attachment(model).adapter(name).vectors for name in ("default", "second"))
    first.requires_grad_(True)
    rows = torch.tensor([0, 1, 0, 1])
    model(**inputs, adapters=rows).logits.sin().sum().backward()
    together = [first.grad.clone(), second.grad.clone()]
    for index, vectors in enumerate((first, second)):
        first.grad = second.grad = None
        model(**inputs, adapters=["default", "second"][index]).logits[rows == index].sin().sum().backward()
        assert torch.allclose(vectors.grad, together[index], atol=1e-5)


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ("nobody", "no adapter 'nobody'"),
        (["default", "nobody", "default", "default"], "no adapter 'nobody'"),
        (["default"] * 3, "3 adapters were chosen for a batch of 4"),
    ],
)
def test_a_wrong_choice_is_refused(choice: Any, reason: str) -> None:
    model, inputs = attached(), families.inputs("bert", pair=False)
    before = model(**inputs).logits
    with pytest.raises(ValueError, match=reason):
        model(**inputs, adapters=choice)
    assert torch.equal(model(**inputs).logits, before)


@pytest.mark.parametrize("name", ["", "a.b", "keys"])
def test_names_that_torch_would_trip_over_are_refused(name: str) -> None:
    model = model_with_head()
    with pytest.raises(ValueError, match="name"):
        pasta.attach(model, families.tokenizer("bert"), name=name)
    assert not hasattr(model.bert, "pasta")


def test_a_name_is_given_once() -> None:
    model = attached()
    with pytest.raises(ValueError, match="already"):
        pasta.attach(model, families.tokenizer("bert"))
    pasta.attach(model, families.tokenizer("bert"), name="second")
    with pytest.raises(ValueError, match="name of the adapter to save"):
        pasta.save(model, "nowhere")


def test_adapters_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    pasta.save(attached(), tmp_path)
    edit(tmp_path, special_ids=[7, 8])
    model = attached()
    with pytest.raises(ValueError, match="one tokenizer"):
        pasta.load(model, tmp_path, "second")

"""A pretrained encoder: loading it, finding its backbone, head and special tokens, initialising its head.

Plugins import this module, so it imports torch and transformers inside functions: `list` is quick.
"""

from __future__ import annotations

import copy
import json
import mmap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, SourceError, first_line
from bench.plugins.task import Kind, Task, TaskContext
from bench.train.failures import is_out_of_memory
from bench.train.weights import names_pooler, require_from_files, require_readable

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def quiet_libraries() -> None:
    """Silence load reports and progress bars: that a head is 'newly initialised' is intended here."""
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    transformers.logging.captureWarnings(True)


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder; no code in the folder is run."""
    from transformers import AutoTokenizer

    try:
        with _loading(path, "tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False, local_files_only=True)
    except SourceError as error:
        raise SourceError(_without_tokenizer_json(path) or str(error)) from None
    # Without a vocabulary transformers makes a tokenizer of special tokens alone, to which every word is unknown.
    if not tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens):
        reason = "it has no vocabulary; save it into the folder (save_pretrained)"
        raise SourceError(_without_tokenizer_json(path) or f"The tokenizer in {path} cannot be loaded: {reason}.")
    if tokenizer.pad_token is None and is_decoder(load_config(path)):
        tokenizer.pad_token = tokenizer.eos_token  # any will do: nothing reads what the attention mask hides
    if tokenizer.is_fast:
        _keep_added_tokens_whole(tokenizer)
    return tokenizer


def _without_tokenizer_json(path: Path) -> str | None:
    """Why no tokenizer can be read from a folder without tokenizer.json; None: that is not the reason."""
    readable = find_spec("sentencepiece") and find_spec("google.protobuf")
    found = next(path.glob("*.model"), None)
    if (path / "tokenizer.json").is_file() or (found and readable):
        return None
    if found:
        reason = (
            f"{found.name} is a SentencePiece model, which takes the packages sentencepiece and protobuf to read (pip "
            "install sentencepiece protobuf); or save it once with them as tokenizer.json (save_pretrained)"
        )
    else:
        reason = "there is no tokenizer.json; save the tokenizer into the folder (save_pretrained)"
    return f"The tokenizer in {path} cannot be loaded: {reason}."


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The special tokens that a tokenizer has names for, as the padding token: none of those that a user added."""
    return {*tokenizer.all_special_tokens} - {str(token) for token in tokenizer.extra_special_tokens}


def _keep_added_tokens_whole(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the special tokens that a user added, such as entity markers, ordinary ones, which no text is split at.

    Otherwise they would be cut like the control tokens, whose names in a text are read as plain characters.
    """
    backend, control = tokenizer.backend_tokenizer, control_tokens(tokenizer)
    added = backend.get_added_tokens_decoder().values()
    if all(token.content in control for token in added if token.special):
        return
    state = json.loads(backend.__getstate__())
    for token in state["added_tokens"]:
        token["special"] = token["special"] and token["content"] in control
    backend.__setstate__(json.dumps(state).encode())


def is_decoder(config: PreTrainedConfig) -> bool:
    """Whether the family is trained to predict the next token alone, as GPT-2, Llama and Qwen are."""
    from transformers.models.auto import modeling_auto as families

    causal, masked = families.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, families.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return config.model_type in causal and config.model_type not in masked


def load_config(path: Path) -> PreTrainedConfig:
    """The configuration of a model folder; no code in the folder is run."""
    from transformers import AutoConfig

    with _loading(path, "encoder"):
        config = AutoConfig.from_pretrained(str(path), trust_remote_code=False, local_files_only=True)
        # A configuration may name compiled attention code on the hub, which transformers would fetch and run.
        config._attn_implementation = None
    return config


@contextmanager
def _loading(path: Path, what: str) -> Iterator[None]:
    """Turn an error in reading a model's files into one sentence.

    transformers, tokenizers and safetensors raise errors of many classes. Running out of memory is passed on.
    """
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise SourceError(f"The {what} in {path} cannot be loaded: {first_line(error)}") from None


def load_model(path: Path, kind: Kind, num_labels: int, dropout: float | None = None) -> PreTrainedModel:
    """The encoder with a head for tasks of this kind, in float32; the head is not yet drawn from a seed.

    Weights come from safetensors files only, and no code in the folder is run. They are mapped copy-on-write: workers
    share the file's pages, and training changes neither the file nor another worker's model. All pages are read here,
    or they would count as memory that training takes.

    Args:
        dropout: the probability of every dropout of the model; None: as its configuration has it.

    Raises:
        SourceError: if the files cannot be loaded, or if a weight of the backbone is not in them.
    """
    require_readable(path)
    config = load_config(path)
    _configure(config, num_labels, dropout)
    with _loading(path, "encoder"):
        model: PreTrainedModel = _with_head(kind).from_pretrained(
            str(path),
            config=config,
            dtype="float32",
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
        )
        require_from_files(backbone(model), path)
    for parameter in model.parameters():  # one number of every page
        parameter.detach().flatten()[:: mmap.PAGESIZE // parameter.element_size()].sum()
    return model


def lacks_pooler(path: Path) -> bool:
    """Whether the head for whole texts would read a pooler of which the model's files have no weights."""
    from torch import nn

    if names_pooler(path):
        return False
    return isinstance(getattr(meta_model(load_config(path), "classification", 2).base_model, "pooler", None), nn.Module)


def meta_model(config: PreTrainedConfig, kind: Kind, num_labels: int, dropout: float | None = None) -> PreTrainedModel:
    """The encoder as `load_model` gives it, on the meta device: shapes without weights, for counting."""
    import torch

    config = copy.deepcopy(config)
    _configure(config, num_labels, dropout)
    with torch.device("meta"):
        return _with_head(kind).from_config(config)


def _configure(config: PreTrainedConfig, num_labels: int, dropout: float | None) -> None:
    """Set the labels and, where it is given, the probability of every dropout."""
    config.num_labels = num_labels
    config.use_cache = False  # of keys and values, for generating text
    if dropout is not None:
        for name in dropouts(config):
            setattr(config, name, dropout)


def dropouts(config: PreTrainedConfig) -> dict[str, float]:
    """The probabilities of a model's dropouts, by the configuration's names for them.

    Families name them differently; all are numbers with "dropout" in their name, or "pdrop" in GPT-2's.
    """
    found = config.to_dict().items()
    return {k: value for k, value in found if ("dropout" in k or "pdrop" in k) and isinstance(value, int | float)}


def _with_head(kind: Kind) -> Any:
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    return AutoModelForTokenClassification if kind == "token-classification" else AutoModelForSequenceClassification


def context(task: Task, tokenizer: PreTrainedTokenizerBase) -> TaskContext:
    """What a method may know of a task, with the special tokens as this tokenizer places them."""
    return TaskContext(
        name=task.name,
        kind=task.kind,
        pair=task.pair,
        num_labels=task.num_labels,
        template=special_tokens(tokenizer, task.pair),
        pad_id=int(tokenizer.pad_token_id),
    )


def special_tokens(tokenizer: PreTrainedTokenizerBase, pair: bool) -> tuple[int, ...]:
    """The ids of the special tokens around one text, or around a pair, in order."""
    # With real texts: an empty second one counts as none, and its separator is left out.
    full = tokenizer("a", "a" if pair else None, return_special_tokens_mask=True)
    special = zip(full["input_ids"], full["special_tokens_mask"], strict=True)
    return tuple(token for token, is_special in special if is_special)


def base_name(config: PreTrainedConfig) -> str:
    """What a saved adapter calls its base model: of a folder's path, which is of one machine, the last part."""
    name = str(config.name_or_path)
    return Path(name).name if Path(name).is_dir() else name


def backbone(model: PreTrainedModel) -> nn.Module:
    """The pretrained part of a model with a head."""
    part: nn.Module = getattr(model, model.base_model_prefix)
    return part


def head_modules(model: PreTrainedModel) -> dict[str, nn.Module]:
    """The parts of a model that are not its backbone, by name; none for a bare backbone."""
    if model.base_model is model:
        return {}
    return {name: module for name, module in model.named_children() if name != model.base_model_prefix}


def head_parameters(model: PreTrainedModel) -> list[nn.Parameter]:
    """The parameters of the task head."""
    return [parameter for module in head_modules(model).values() for parameter in module.parameters()]


def init_head(model: PreTrainedModel, seed: int) -> None:
    """Draw the head from a generator of its own, so that it depends on the seed alone."""
    import torch

    draw_head(head_modules(model).values(), model.config, torch.Generator().manual_seed(seed))


def draw_head(parts: Iterable[nn.Module], config: PreTrainedConfig, generator: torch.Generator | None = None) -> None:
    """Draw a head's linear layers from N(0, initializer_range), with zero biases, as BERT and RoBERTa do.

    Other layers of a head (norms) start from constants and keep them. generator: None: torch's global one.
    """
    import torch
    from torch import nn

    std = getattr(config, "initializer_range", 0.02)
    with torch.no_grad():
        for part in parts:
            for module in part.modules():
                if isinstance(module, nn.Linear):
                    module.weight.normal_(0.0, std, generator=generator)
                    if module.bias is not None:
                        module.bias.zero_()

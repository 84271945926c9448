"""Any config of the PEFT library as a method, without a file of its own: `peft:vera[r=64]`."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import operator
import types
from collections.abc import Mapping, Sequence
from enum import Enum, EnumMeta
from functools import cache, reduce
from pathlib import Path
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import create_model, model_validator

from bench.errors import UsageError
from bench.plugins import Method, MethodFamily, Params, Recipe, TaskContext, rates
from methods._peft import Names, Numbers, PeftMethod, put

_REFUSED = {
    "adalora": "it moves rank between matrices by calls from the training loop and adds a term to the loss",
    "adaption_prompt": "PEFT has it for Llama, Mistral and GPT-2 alone, which are no encoders",
    "cartridge": "it keeps what a causal model has cached of a long text, and starts from that text",
    "cpt": "it is for causal language models, and starts from a prompt of labelled examples",
    "multitask_prompt_tuning": "it shares a prompt among several tasks, and a cell has one",
    "poly": "it mixes skills for several tasks, and a cell has one",
    "shadow": "it mirrors the layers of a causal decoder",
    "xlora": "it mixes LoRA adapters that were trained before",
}

# Fields of configs that are no parameters here.
_HIDDEN = {
    # The harness's own business: the head, the numbers that the model says, what is saved and how it runs.
    "modules_to_save", "token_dim", "num_layers", "num_attention_heads", "num_transformer_submodules",
    "save_projection", "save_indices", "save_only_topk_weights", "save_precomputed_indices",
    "progressbar", "runtime_offload_base_weight", "megatron_core",
    # Of other kinds of layers and models.
    "fan_in_fan_out", "use_effective_conv2d", "target_parameters", "ensure_weight_tying", "alora_invocation_tokens",
    "use_qalora", "qalora_group_size", "layer_replication",
    # Take a text and a tokenizer.
    "prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path",
    # AdaMSS's adaptive allocation: by calls from the training loop.
    "use_asa", "asa_target_subspaces", "init_warmup", "final_warmup", "mask_interval", "asa_importance_beta",
    "asa_uncertainty_beta", "asa_schedule_exponent",
}  # fmt: skip
# Ways to initialise that take data, quantised weights or a number within the name, or that write into frozen weights.
_HIDDEN_CHOICES = {"eva", "corda", "loftq", "pissa_niter_[number of iters]", "pissa", "olora"}
# Where PEFT asks for a value and has no default.
_DEFAULTS = {"num_virtual_tokens": 20}

# Those that start elsewhere than at the base model by their defaults, be it by rounding alone.
_START_ELSEWHERE = {
    "c3a", "deft", "fourierft", "frod", "hra", "osf", "p_tuning", "prefix_tuning", "prompt_tuning", "unilora",
    "vblora",
}  # fmt: skip


class PeftConfigs(MethodFamily):
    """`peft:NAME` with the simple fields of PEFT's own config as parameters, their defaults PEFT's own."""

    name = "peft"
    summary = "any method of the PEFT library by its name there: peft:vera[r=64], peft:lora[use_dora=true]"
    paper = "Mangrulkar et al., PEFT, 2022, github.com/huggingface/peft"

    def members(self) -> Sequence[str]:
        return sorted(set(_peft_types()) - _REFUSED.keys())

    def refused(self) -> Mapping[str, str]:
        return _REFUSED

    def method(self, member: str) -> type[Method]:
        return _method_of(member)


@cache
def _peft_types() -> tuple[str, ...]:
    """The names of PEFT's methods, read from its source: importing PEFT takes seconds, and `list` is instant."""
    spec = importlib.util.find_spec("peft")
    assert spec is not None
    assert spec.origin is not None
    source = (Path(spec.origin).parent / "utils" / "peft_types.py").read_text(encoding="utf-8")
    (enum,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "PeftType")
    values = (node.value for node in enum.body if isinstance(node, ast.Assign))
    return tuple(str(value.value).lower() for value in values if isinstance(value, ast.Constant))


@cache
def _method_of(member: str) -> type[Method]:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    config_class: Any = PEFT_TYPE_TO_CONFIG_MAPPING.get(member.upper())
    if config_class is None:
        raise UsageError(f"The PEFT library that is installed has no config for {member!r}.")
    return type(
        config_class.__name__,
        (_PeftMethod,),
        {
            "__module__": __name__,
            "name": f"peft:{member}",
            "summary": f"PEFT's {config_class.__name__}",
            "paper": PeftConfigs.paper,
            "Params": _params_of(config_class),
            "member": member,
        },
    )


class _PeftParams(Params):
    config_class: ClassVar[Any]

    @model_validator(mode="after")
    def _check(self) -> _PeftParams:
        for name, value in self:
            if value == ():
                raise ValueError(f"PEFT has no default for {name}; give some: {name}=1+2.")
        self.config()  # PEFT's own checks
        return self

    def config(self) -> Any:
        """A fresh config of PEFT's with these settings; injection writes into it."""
        given = {name: list(value) if isinstance(value, tuple) else value for name, value in self}
        if given.get("target_modules") == ["all-linear"]:
            given["target_modules"] = "all-linear"
        return self.config_class(**given)


class _PeftMethod(PeftMethod):
    member: ClassVar[str]
    space = rates(3e-4, 3e-1, source="PEFT's examples: 3e-4 (LoRA) to 0.3 (C3A)")

    def recipe(self, task: TaskContext, config: Any) -> Recipe:
        prompts = self.params.config().is_prompt_learning
        return Recipe(
            learning_rate=3e-2 if prompts else 2e-3,
            epochs=6 if prompts else 3,
            min_steps=100,
            chosen_by=f"not tuned: {'prompt_tuning' if prompts else 'lora'}'s settings, a first guess for all of PEFT",
        )

    def apply(self, model: Any, task: TaskContext) -> Any:
        put(model, self.params.config(), self.name)
        return model

    def virtual_tokens(self) -> int:
        return int(getattr(self.params, "num_virtual_tokens", 0))

    def starts_at_base(self) -> bool:
        """By its defaults a method does or does not; other ways to initialise are taken not to."""
        fields = type(self.params).model_fields
        changed = {
            name
            for name, value in self.params
            if "init" in name and not isinstance(value, float) and value not in (fields[name].default, "gaussian")
        }
        return self.member not in _START_ELSEWHERE and not changed


def _params_of(config_class: Any) -> type[Params]:
    """A config's simple fields as parameters: numbers, flags, words, and lists of them."""
    from peft.config import PeftConfig

    own = {field.name for field in dataclasses.fields(PeftConfig)}
    hints = get_type_hints(config_class)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(config_class):
        annotation = _simple(hints[field.name])
        if field.name in own | _HIDDEN or annotation is None or not field.init:
            continue
        default = _DEFAULTS.get(field.name, _default(field))
        fields[field.name] = (annotation | None if default is None else annotation, default)
    made = create_model(f"{config_class.__name__}Params", __base__=_PeftParams, __module__=__name__, **fields)
    made.config_class = config_class
    return made


def _default(field: Any) -> Any:
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    if isinstance(value, Enum):
        return value.value
    return tuple(value) if isinstance(value, list) else value


def _simple(hint: Any) -> Any:
    """A field's type as a parameter's: a number, a flag, a word or a list of some; None: it is another type."""
    if hint in (int, float, bool, str):
        return hint
    if isinstance(hint, EnumMeta):
        members: Any = hint
        return Literal[tuple(each.value for each in members)]
    origin, args = get_origin(hint), [each for each in get_args(hint) if each is not types.NoneType]
    if origin is Literal:
        return Literal[tuple(each for each in args if each not in _HIDDEN_CHOICES)]
    if origin is list:
        return {str: Names, int: Numbers}.get(args[0])
    if origin not in (Union, types.UnionType):
        return None
    # A list or one of its items is a list; one of some words or any word is one of these words.
    covered = {item for each in args if get_origin(each) is list for item in get_args(each)}
    if not covered and any(get_origin(each) is Literal or isinstance(each, EnumMeta) for each in args):
        covered = {str}
    simple = [_simple(each) for each in args if each not in covered]
    return None if None in simple else reduce(operator.or_, simple)

"""Whether a model, its tokenizer, a task and methods go together: nothing is trained.

A check is a function that yields what cannot work: the end of a sentence, with what to do. CHECKS lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.grid.suites import Budget
from bench.plugins.method import Method
from bench.plugins.specs import changed_params, method_label
from bench.plugins.task import SPLITS, Splits, Task
from bench.train.data import examples_of
from bench.train.model import control_tokens, load_config, load_model, load_tokenizer, quiet_libraries, special_tokens
from bench.train.tokens import Limits, limits, longest, pair_note, tokenise, truncation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAMPLE = 2000  # examples of a split that are tokenised: splits are shuffled, so the first are a fair sample


@dataclass(frozen=True)
class Model:
    """A model's folder, its tokenizer, and what it can take."""

    folder: Path
    tokenizer: PreTrainedTokenizerBase
    limits: Limits

    @classmethod
    def of(cls, folder: Path, weights: bool = True) -> Model:
        """Of a model's folder; weights: loaded, too, to see that they are all there. Raises SourceError."""
        quiet_libraries()
        if weights:
            load_model(folder, "classification", 2)
        return cls(folder, load_tokenizer(folder), limits(load_config(folder)))


@dataclass(frozen=True)
class Fit:
    """What is to be used together."""

    model: Model
    task: Task
    methods: Sequence[Method]

    @property
    def longest(self) -> int:
        return longest(self.task, self.model.tokenizer, self.model.limits)


Check = Callable[[Fit], Iterator[str]]


def padding(fit: Fit) -> Iterator[str]:
    found, expected = fit.model.tokenizer.pad_token_id, fit.model.limits.padding
    if found is None:
        yield (
            "its tokenizer has no padding token, with which the texts of a batch are filled up to one length; name a "
            "token of its vocabulary as pad_token in its tokenizer_config.json"
        )
    elif expected is not None and found != expected:
        yield (
            f"its tokenizer pads with token {found} and the model counts positions without token {expected}; set "
            "pad_token_id in its config.json or pad_token in its tokenizer_config.json, whichever is wrong"
        )


def vocabulary(fit: Fit) -> Iterator[str]:
    tokenizer, rows = fit.model.tokenizer, fit.model.limits.vocabulary
    control = set(tokenizer.convert_tokens_to_ids([*control_tokens(tokenizer)]))
    unused = control - {tokenizer.pad_token_id, tokenizer.unk_token_id, *_template(fit)}
    beyond = {at: token for token, at in tokenizer.get_vocab().items() if rows is not None and at >= rows}
    if used := beyond.keys() - unused:
        yield (
            f"its tokenizer has {len(tokenizer):,} tokens and the model {rows:,} embeddings, none of them for "
            f"{beyond[min(used)]!r}; save the model with them (resize_token_embeddings), or take its own tokenizer"
        )


def segments(fit: Fit) -> Iterator[str]:
    tokenizer, found = fit.model.tokenizer, fit.model.limits
    if fit.task.pair and found.segments and "token_type_ids" in found.inputs & set(tokenizer.model_input_names):
        kinds = max(tokenizer("a", "a")["token_type_ids"]) + 1
        if kinds > found.segments:
            yield (
                f"its tokenizer numbers the texts of a pair by {kinds} segments (token_type_ids), and the model knows "
                f'{found.segments}; leave "token_type_ids" out of model_input_names in its tokenizer_config.json'
            )


def room(fit: Fit) -> Iterator[str]:
    needed = len(_template(fit)) + 1 + fit.task.pair
    if fit.longest < needed:
        yield (
            f"inputs are cut at {fit.longest} tokens, and {needed} is the least that special tokens leave room in; see "
            "max_position_embeddings in its config.json and model_max_length in its tokenizer_config.json"
        )


def words(fit: Fit) -> Iterator[str]:
    if fit.task.kind == "token-classification" and not fit.model.tokenizer.is_fast:
        yield (
            f"its {type(fit.model.tokenizer).__name__} does not say which piece of a text is where, which token "
            "classification needs; take a model with a fast tokenizer (tokenizer.json)"
        )


def virtual_tokens(fit: Fit) -> Iterator[str]:
    positions = fit.model.limits.positions
    for method in fit.methods:
        count = method.virtual_tokens()
        if positions is not None and count and fit.longest + count > positions:
            label = method_label(method.name, changed_params(method.params))
            yield (
                f"{label} puts {count} virtual tokens before inputs of up to {fit.longest} tokens, and the model has "
                f"{positions} positions; give the task a max_length of {positions - count}, which then holds for all "
                "methods, or leave this one out"
            )


CHECKS: tuple[Check, ...] = (padding, vocabulary, segments, room, words, virtual_tokens)


def _template(fit: Fit) -> tuple[int, ...]:
    return special_tokens(fit.model.tokenizer, fit.task.pair)


def require(fit: Fit) -> None:
    """Refuse what cannot work.

    Raises:
        UsageError: with the first reason.
    """
    for check in CHECKS:
        for reason in check(fit):
            raise UsageError(f"The model in {fit.model.folder} cannot be used for {fit.task.name}: {reason}.")


def notes(fit: Fit, splits: Splits | None, budget: Budget) -> Iterator[str]:
    """What works and is doubtful; splits: None where the data are not here."""
    tokenizer = fit.model.tokenizer
    if tokenizer.cls_token_id not in (None, *_template(fit)):
        yield (
            f"The tokenizer in {fit.model.folder} does not put its {tokenizer.cls_token} before texts (tokenizer.json "
            "has no post_processor that does): the model was probably trained with it, and PASTA needs it."
        )
    for found in (pair_note(fit.task, tokenizer), _cut(fit, splits or {}, budget)):
        if found:
            yield found


def _cut(fit: Fit, splits: Splits, budget: Budget) -> str | None:
    """What is cut from a task's inputs, of up to SAMPLE examples a split; None: nothing."""
    tokenizer, found = fit.model.tokenizer, fit.model.limits
    parts, sampled = [], False
    for name in (*SPLITS, *fit.task.extra_tests) if splits else ():
        every = examples_of(name, splits, budget)
        if some := every[:SAMPLE]:
            sampled = sampled or len(every) > SAMPLE
            encoding = tokenise(fit.task, some, tokenizer, found)
            cut = truncation(fit.task, some, tokenizer, encoding, fit.longest)
            if cut.examples:
                parts.append(f"{name} {cut.examples:.1%} of examples, {cut.content:.1%} of all {content(fit.task)}")
    if fit.longest < fit.task.max_length:
        whose = "the model has no more positions" if fit.longest == found.positions else "its tokenizer says so"
        parts = [f"{whose}, and the task's max_length is {fit.task.max_length}", *parts]
    if sampled and parts:
        parts.append(f"of up to {SAMPLE:,} examples a split")
    return f"{fit.task.name}: inputs are cut at {fit.longest} tokens ({'; '.join(parts)})." if parts else None


def content(task: Task) -> str:
    """What the shares of `Truncation.content` are of."""
    return "words" if task.kind == "token-classification" else "tokens"

"""How much attention each head gives to the special tokens: `python -m methods.pasta.attention`.

Many heads of a pretrained encoder are *vertical*: from every position they look at [CLS] or [SEP], so that a picture
of their attention shows vertical stripes (Kovaleva et al., Revealing the Dark Secrets of BERT, EMNLP 2019). PASTA
changes the special tokens alone and relies on such heads to carry the change to every other token (Yang et al.,
EACL 2023, section 1). The measure is the average attention that a head puts on a type of token (Clark et al., What
Does BERT Look At?, BlackboxNLP 2019), here over ordinary tokens only: what special tokens look at is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from transformers import BatchEncoding, PreTrainedTokenizerBase

from bench.__main__ import run_app
from bench.cli.common import DEFAULT_RESULTS, AsJson, Mirror, ModelName, Plugins, print_json, stderr_console
from bench.errors import UsageError
from bench.files import write_atomically
from bench.grid import models
from bench.leaderboard.files import to_csv
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.task import Example, Task
from bench.runner.plan import fetch, references
from bench.runner.progress import FetchDisplay
from bench.runner.request import suite_of
from bench.text import text_table
from bench.train.adaptation import restore, saved_method
from bench.train.data import read, tokenise
from bench.train.model import context, load_model, load_tokenizer, quiet_libraries
from methods.pasta.attention_plots import draw_heads, draw_sentence

BEFORE, AFTER = "before", "after"
VERTICAL = 0.5  # this project's threshold: a vertical head gives more of its attention to special tokens
PICTURE_TOKENS = 64  # a longer sentence is cut for its picture
PLEASANT_TOKENS = 24  # most tokens of the example that is chosen for the picture


def attention_maps(module: Any, texts: BatchEncoding, at: int = 0) -> np.ndarray:
    """The attention of every head on one text: [layers, heads, length, length]; a row is the token that looks.

    Raises:
        UsageError: if the module returns no attention, or not that of an encoder over the text alone.
    """
    keys = ("input_ids", "attention_mask", "token_type_ids")
    inputs = {key: torch.tensor([texts[key][at]]) for key in keys if key in texts}
    try:
        with torch.no_grad():
            layers = getattr(module.eval()(**inputs, output_attentions=True), "attentions", None)
    except TypeError:  # FNet has no such argument
        layers = None
    if not layers or not all(isinstance(layer, torch.Tensor) for layer in layers):
        raise UsageError(f"{type(module).__name__} does not return the attention of an encoder. Choose another model.")
    maps: np.ndarray = torch.cat(layers).float().numpy()
    length = inputs["input_ids"].shape[1]
    if maps.shape[2:] != (length, length):
        raise UsageError(
            f"The attention is {maps.shape[2]} x {maps.shape[3]} on a text of {length} tokens: the method adds "
            "positions of its own. Choose an adapter of a method that keeps the sequence as it is."
        )
    if length > 1 and not np.triu(maps[0], 1).any():
        raise UsageError("The model looks at earlier tokens only, as a decoder does. Choose an encoder.")
    return maps


def measure(module: Any, texts: BatchEncoding, slots: Sequence[str], when: str) -> pd.DataFrame:
    """Where the attention of ordinary tokens (neither padding nor special) goes, in shares of 1: a row per head.

    A share is the mean over the ordinary tokens of a text, then over texts: a long text counts as much as a short one.
    special_share: to all special tokens; share_NAME: to one of them; ordinary_share: the rest. uniform_share: what
    special tokens would get if every token looked at all tokens alike. slots: names of a full text's special tokens.
    """
    found = []
    for at, mask in enumerate(texts["special_tokens_mask"]):
        special = np.asarray(mask, dtype=bool)
        if special.all():  # an empty text
            continue
        looks = np.moveaxis(attention_maps(module, texts, at)[:, :, ~special].astype(float).mean(axis=2), -1, 0)
        shares = np.zeros((len(slots) + 2, *looks.shape[1:]))
        shares[: special.sum()] = looks[special]
        shares[-2:] = looks[~special].sum(axis=0), np.full(looks.shape[1:], special.mean())
        found.append(shares)
    if not found or not slots:
        raise UsageError("No text has ordinary tokens with special tokens around them: there is nothing to measure.")
    mean = np.mean(found, axis=0)
    layer, head = np.indices(mean.shape[1:]) + 1
    columns = {"layer": layer, "head": head, "special_share": mean[:-2].sum(axis=0)}
    columns |= {"uniform_share": mean[-1], "ordinary_share": mean[-2]}
    columns |= {f"share_{name.replace(' ', '_')}": share for name, share in zip(slots, mean, strict=False)}
    return pd.DataFrame({"when": when, **{name: values.ravel() for name, values in columns.items()}})


def study(
    model: Path, task: Task, data: Path, examples: int, sentence: Example | None, head: tuple[int, int] | None,
    adapter: tuple[Method, Path] | None,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Measure a model and, where there is an adapter, the model with it, on the same texts.

    sentence, head: of the picture, the (layer, head) from 1; None: an example's, the most vertical one. adapter: its
    method and folder. Returns what was found as JSON's types, the rows of `measure`, and those of `token_pairs`.

    Raises:
        BenchError: if the model, its attention, the head or the adapter is unavailable.
    """
    quiet_libraries()
    tokenizer, splits = load_tokenizer(model), read(task, data)
    split = next((name for name in ("validation", "test") if splits.get(name)), None)
    if split is None:
        raise UsageError(f"The task {task.name} has neither validation nor test examples.")
    measured = splits[split][:examples]
    texts = tokenise(task, measured, tokenizer)
    slots = slot_names(tokenizer, texts)
    whole, picture = (
        tokenise(task, [sentence or _pleasant(measured, texts)], tokenizer, min(task.max_length, most))
        for most in (task.max_length, PICTURE_TOKENS)
    )
    module: Any = load_model(model, task.kind, task.num_labels)
    module.set_attn_implementation("eager")  # the faster implementations never form the matrix
    maps = {BEFORE: attention_maps(module, picture)}
    layers, heads = maps[BEFORE].shape[:2]
    if head is not None and not (1 <= head[0] <= layers and 1 <= head[1] <= heads):
        raise UsageError(
            f"There is no head {head[1]} in layer {head[0]}: there are layers 1 to {layers} with heads 1 to {heads}."
        )
    shares = measure(module, texts, slots, BEFORE)
    at = int(shares["special_share"].argmax())
    layer, number = head or (at // heads + 1, at % heads + 1)
    if adapter is not None:
        module = restore(module, *adapter, context(task, tokenizer))
        maps[AFTER] = attention_maps(module, picture)
        shares = pd.concat([shares, measure(module, texts, slots, AFTER)], ignore_index=True)
    special = shares.groupby("when", sort=False)["special_share"]
    tokens = _token_texts(tokenizer, picture["input_ids"][0])
    cut = len(whole["input_ids"][0]) > len(tokens)
    about: dict[str, Any] = {
        "task": task.name,
        "split": split,
        "examples": sum(0 in mask for mask in texts["special_tokens_mask"]),
        "method": adapter and adapter[0].name,
        "adapter": adapter and str(adapter[1]),
        "special_tokens": slots,
        "uniform_share": float(shares["uniform_share"][0]),
        "vertical_above": VERTICAL,
        "vertical_heads": special.agg(lambda share: int((share > VERTICAL).sum())).to_dict(),
        "mean_special_share": special.mean().to_dict(),
        "sentence": {"layer": layer, "head": number, "tokens": tokens, "cut": cut},
        "heads": shares.to_dict("records"),
    }
    marks = np.asarray(picture["special_tokens_mask"][0], dtype=bool)
    pairs = [token_pairs(about["sentence"], marks, each[layer - 1, number - 1], when) for when, each in maps.items()]
    return about, shares, pd.concat(pairs, ignore_index=True)


def token_pairs(sentence: Mapping[str, Any], special: np.ndarray, attention: np.ndarray, when: str) -> pd.DataFrame:
    """How much of each token's attention goes to each other one: a row per pair of tokens, positions from 1.

    sentence: of `study`. special: which of its tokens are, [length]. attention: of its head, [length, length].
    """
    tokens = np.array(sentence["tokens"], dtype=object)
    start, to = (indices.ravel() for indices in np.indices(attention.shape))
    columns = {"when": when, "layer": sentence["layer"], "head": sentence["head"]}
    columns |= {"from_position": start + 1, "from_token": tokens[start]}
    columns |= {"to_position": to + 1, "to_token": tokens[to], "to_is_special": special[to]}
    return pd.DataFrame({**columns, "attention": attention.ravel()})


def slot_names(tokenizer: PreTrainedTokenizerBase, texts: BatchEncoding) -> list[str]:
    """Names for the special tokens of a full text, in order; repeated ones are numbered: [CLS], [SEP] 1, [SEP] 2."""
    ids, mask = max(zip(texts["input_ids"], texts["special_tokens_mask"], strict=True), key=lambda text: sum(text[1]))
    names = _token_texts(tokenizer, [token for token, special in zip(ids, mask, strict=True) if special])
    return [f"{name} {names[: at + 1].count(name)}" if names.count(name) > 1 else name for at, name in enumerate(names)]


def _token_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Tokens as a reader knows them: byte-level vocabularies write a space as a letter of their own."""
    decoded = [(token, str(tokenizer.decode([token])).strip()) for token in ids]
    return [
        text if text and "\ufffd" not in text else str(tokenizer.convert_ids_to_tokens(token))
        for token, text in decoded
    ]


def _pleasant(examples: Sequence[Example], texts: BatchEncoding) -> Example:
    """The first example that is neither very short nor too long for a picture; the shortest where there is none."""
    lengths = [len(ids) for ids in texts["input_ids"]]
    fitting = (at for at, length in enumerate(lengths) if PLEASANT_TOKENS // 2 <= length <= PLEASANT_TOKENS)
    return examples[next(fitting, int(np.argmin(lengths)))]


def text_of(about: Mapping[str, Any], heads: pd.DataFrame) -> str:
    """The most vertical heads as a table, and what it shows; see `study`."""
    before, *after = (rows.reset_index(drop=True) for _, rows in heads.groupby("when", sort=False))
    shares = {name.removeprefix("share_"): before[name] for name in before.columns if name.startswith("share_")}
    shares = {"special %": before["special_share"], **shares}
    if after:
        shares["after %"] = after[0]["special_share"]
    order = before["special_share"].sort_values(ascending=False, kind="stable").index[:10]
    rows = [
        {"layer": before["layer"][at], "head": before["head"][at]}
        | {name: f"{100 * share[at]:.1f}" for name, share in shares.items()}
        for at in order
    ]
    lines = [
        f"{about['model']} on {about['task']}, {about['examples']} examples of {about['split']}: the attention that "
        f"ordinary tokens\ngive to the special tokens {', '.join(about['special_tokens'])}. "
        f"Equal attention to all tokens would give {100 * about['uniform_share']:.1f} %.\n",
        f"{text_table(rows, ['right'] * len(rows[0]))}\n",
        f"The {len(rows)} most vertical of {len(before)} heads. Heads that give more than half to special tokens:",
    ]
    for when, count in about["vertical_heads"].items():
        lines.append(f"{count} {when} tuning (mean of all heads: {100 * about['mean_special_share'][when]:.1f} %)")
    return "\n".join(lines)


def command(
    model: ModelName = None,
    task: Annotated[str | None, typer.Option(help="The task whose texts are read. Default: the first one.")] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="A trained adapter's folder, to compare with (run --keep-adapters).")
    ] = None,
    examples: Annotated[int, typer.Option(help="How many examples are measured.", min=1)] = 200,
    sentence: Annotated[str | None, typer.Option(help="The sentence of the picture. Default: an example's.")] = None,
    pair: Annotated[str | None, typer.Option(help="Its second part, for a task of pairs.")] = None,
    layer: Annotated[int | None, typer.Option(help="The pictured head's layer, from 1.", min=1)] = None,
    head: Annotated[
        int | None, typer.Option(help="The pictured head, from 1. Default: the most vertical one.", min=1)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the pictures and tables. Default: results/local/attention/...")
    ] = None,
    mirror: Mirror = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Measure how much of its attention each head gives to special tokens, and draw it."""
    if (layer is None) != (head is None):
        raise UsageError("Give --layer and --head together.")
    usual, plugins = suite_of(None, None), plugin or ()
    model, task = model or usual.model, task or usual.tasks[0]
    reader, label = registry.tasks(plugins).get(task).plugin(), models.find(model).name
    if (pair is not None) != (sentence is not None and reader.pair):
        raise UsageError("Give --pair together with --sentence if the task is one of pairs, and only then.")
    words = tuple(sentence.split()) if sentence and reader.kind == "token-classification" else sentence
    example = None if words is None else Example(words, 0, pair)
    saved = (saved_method(adapter, registry.methods(plugins)), adapter) if adapter else None
    with FetchDisplay(stderr_console()) as display:
        at = fetch(references([task], model, plugins), mirror, display.on_progress)
    chosen = (layer, head) if layer and head else None
    where = at[f"model {label}"].path, reader, at[f"task {task}"].path
    about, heads, pairs = study(*where, examples, example, chosen, saved)
    about = {"model": label, **about}
    name = "-".join([label, task, *([adapter.resolve().name] if adapter else [])])
    out = out or DEFAULT_RESULTS / "attention" / re.sub(r"[^\w.-]+", "-", name)
    write_atomically(out / "heads.csv", to_csv(heads))
    draw_heads(about, heads, out / "heads.png")
    write_atomically(out / "sentence.csv", to_csv(pairs))
    draw_sentence(about, pairs, out / "sentence.png")
    files = ["heads.csv", "heads.png", "sentence.csv", "sentence.png"]
    if as_json:
        print_json({**about, "files": [str(out / file) for file in files]})
    else:
        print(f"{text_of(about, heads)}\n\nWritten to {out}: {', '.join(files)}.")


def main() -> None:
    """Run the command line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    run_app(app, "python -m methods.pasta.attention")


if __name__ == "__main__":
    main()

"""How much attention each head gives to the special tokens: `python -m methods.pasta.attention`.

Many heads of a pretrained encoder are *vertical*: from every position they look at [CLS] or [SEP], so that a picture
of their attention shows vertical stripes (Kovaleva et al., Revealing the Dark Secrets of BERT, EMNLP 2019). PASTA
changes the special tokens alone and relies on such heads to carry the change to every other token (Yang et al.,
EACL 2023, section 1). The measure is the average attention that a head puts on a type of token (Clark et al., What
Does BERT Look At?, BlackboxNLP 2019), here over ordinary tokens only: what special tokens look at is left out.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from matplotlib.figure import Figure
from transformers import BatchEncoding, PreTrainedTokenizerBase

from bench.__main__ import run_app
from bench.cli.common import DEFAULT_RESULTS, AsJson, Mirror, ModelName, Plugins, print_json, stderr_console
from bench.errors import UsageError
from bench.files import write_atomically
from bench.grid import models
from bench.leaderboard.files import to_csv
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.task import Task
from bench.runner.plan import fetch, references
from bench.runner.progress import FetchDisplay
from bench.runner.request import suite_of
from bench.text import text_table
from bench.train.adaptation import restore, saved_method
from bench.train.data import read
from bench.train.model import context, load_config, load_model, load_tokenizer, quiet_libraries
from bench.train.tokens import limits, tokenise

BEFORE, AFTER = "before", "after"
VERTICAL = 0.5  # this project's threshold: a vertical head gives more of its attention to special tokens
# One hue from light to dark for shares, purple against orange for changes: colour-blind readers can tell them apart.
SHARES, CHANGES, MARK = "Blues", "PuOr_r", "#c1440e"


def attention_maps(module: Any, texts: BatchEncoding, at: int) -> np.ndarray:
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
    model: Path, task: Task, data: Path, examples: int, adapter: tuple[Method, Path] | None
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Measure a model and, where there is an adapter, the model with it, on the same texts.

    adapter: its method and folder. Returns what was found as JSON's types, and the rows of `measure`.

    Raises:
        BenchError: if the model, its attention or the adapter is unavailable.
    """
    quiet_libraries()
    tokenizer, splits = load_tokenizer(model), read(task, data)
    split = next((name for name in ("validation", "test") if splits.get(name)), None)
    if split is None:
        raise UsageError(f"The task {task.name} has neither validation nor test examples.")
    texts = tokenise(task, splits[split][:examples], tokenizer, limits(load_config(model)))
    slots = slot_names(tokenizer, texts)
    module: Any = load_model(model, task.kind, task.num_labels)
    module.set_attn_implementation("eager")  # the faster implementations never form the matrix
    heads = measure(module, texts, slots, BEFORE)
    if adapter is not None:
        module = restore(module, *adapter, context(task, tokenizer))
        heads = pd.concat([heads, measure(module, texts, slots, AFTER)], ignore_index=True)
    special = heads.groupby("when", sort=False)["special_share"]
    about: dict[str, Any] = {
        "task": task.name,
        "split": split,
        "examples": sum(0 in mask for mask in texts["special_tokens_mask"]),
        "method": adapter and adapter[0].name,
        "adapter": adapter and str(adapter[1]),
        "special_tokens": slots,
        "uniform_share": float(heads["uniform_share"][0]),
        "vertical_above": VERTICAL,
        "vertical_heads": special.agg(lambda share: int((share > VERTICAL).sum())).to_dict(),
        "mean_special_share": special.mean().to_dict(),
        "heads": heads.to_dict("records"),
    }
    return about, heads


def slot_names(tokenizer: PreTrainedTokenizerBase, texts: BatchEncoding) -> list[str]:
    """Names for the special tokens of a full text, in order; repeated ones are numbered: [CLS], [SEP] 1, [SEP] 2."""
    ids, mask = max(zip(texts["input_ids"], texts["special_tokens_mask"], strict=True), key=lambda text: sum(text[1]))
    names = tokenizer.convert_ids_to_tokens([token for token, special in zip(ids, mask, strict=True) if special])
    return [f"{name} {names[: at + 1].count(name)}" if names.count(name) > 1 else name for at, name in enumerate(names)]


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


def draw_heads(about: Mapping[str, Any], heads: pd.DataFrame, path: Path) -> None:
    """A cell per head, layers down and heads across: the share of attention that special tokens get, in %.

    With an adapter there are three panels: before, after (on the same scale) and the change in percentage points.
    about, heads: from `study`.
    """
    panels = {
        f"{when} tuning": 100 * rows.pivot(index="layer", columns="head", values="special_share")
        for when, rows in heads.groupby("when", sort=False)
    }
    change = panels["after tuning"] - panels["before tuning"] if len(panels) > 1 else None
    count = len(panels) + (change is not None)
    layers, across = panels["before tuning"].shape
    width = max(6.5, count * (max(3.0, 0.39 * across) + 0.9) + 1.5)
    figure = Figure(figsize=(width, max(1.8, 0.36 * layers) + 2.2), layout="compressed")
    axes = figure.subplots(1, count, squeeze=False)[0]
    for ax, (title, values) in zip(axes, panels.items(), strict=False):
        shares = _cells(ax, values, title, SHARES, 0, 100)
    bar = figure.colorbar(shares, ax=list(axes[: len(panels)]), pad=0.02)
    bar.set_label("% of an ordinary token's attention\nthat goes to special tokens")
    bar.ax.axhline(100 * about["uniform_share"], color=MARK, linewidth=2)
    if change is not None:
        most = max(1.0, float(np.abs(change).max(axis=None)))
        changes = _cells(axes[-1], change, "change", CHANGES, -most, most)
        figure.colorbar(changes, ax=axes[-1], pad=0.04).set_label("percentage points")
    axes[0].set_ylabel("layer (1 is next to the input)")
    tuned = f", tuned with {about['method']}" if about["method"] else ""
    caption = (
        f"{about['model']}, {about['examples']} examples of {about['task']} ({about['split']}){tuned}. Red line on the "
        f"scale: equal attention to all tokens would give {100 * about['uniform_share']:.0f} %. A head far above it is "
        "vertical: what is changed at the special tokens reaches every token through it."
    )
    title = f"Attention of ordinary tokens to the special tokens {', '.join(about['special_tokens'])}"
    figure.suptitle(textwrap.fill(title, int(9 * width)), fontsize=13, parse_math=False)
    figure.supxlabel(textwrap.fill(caption, int(12 * width)), fontsize=9.5, parse_math=False)
    figure.savefig(path, dpi=160, bbox_inches="tight")


def _cells(ax: Any, values: pd.DataFrame, title: str, colours: str, low: float, high: float) -> Any:
    """A heat map with a number in each cell."""
    image = ax.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto")
    ax.set_title(title, fontsize=11)
    ax.set_xlabel("head")
    ax.set_xticks(range(values.shape[1]), labels=values.columns, fontsize=9)
    ax.set_yticks(range(values.shape[0]), labels=values.index, fontsize=9)
    for (layer, head), value in np.ndenumerate(values.to_numpy()):
        red, green, blue, _ = image.cmap(image.norm(value))
        ink = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "black"
        ax.text(head, layer, str(round(value)), ha="center", va="center", fontsize=8, color=ink)
    return image


def command(
    model: ModelName = None,
    task: Annotated[str | None, typer.Option(help="The task whose texts are read. Default: the first one.")] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="A trained adapter's folder, to compare with (run --keep-adapters).")
    ] = None,
    examples: Annotated[int, typer.Option(help="How many examples are measured.", min=1)] = 200,
    out: Annotated[
        Path | None, typer.Option(help="Folder of picture and table. Default: results/local/attention/...")
    ] = None,
    mirror: Mirror = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Measure how much of its attention each head gives to special tokens, and draw it."""
    usual, plugins = suite_of(None, None), plugin or ()
    model, task = model or usual.model, task or usual.tasks[0]
    reader, label = registry.tasks(plugins).get(task).plugin(), models.find(model).name
    saved = (saved_method(adapter, registry.methods(plugins)), adapter) if adapter else None
    with FetchDisplay(stderr_console()) as display:
        at = fetch(references([task], model, plugins), mirror, display.on_progress)
    about, heads = study(at[f"model {label}"].path, reader, at[f"task {task}"].path, examples, saved)
    about = {"model": label, **about}
    name = "-".join([label, task, *([adapter.resolve().name] if adapter else [])])
    out = out or DEFAULT_RESULTS / "attention" / re.sub(r"[^\w.-]+", "-", name)
    write_atomically(out / "heads.csv", to_csv(heads))
    draw_heads(about, heads, out / "heads.png")
    if as_json:
        print_json({**about, "files": [str(out / "heads.csv"), str(out / "heads.png")]})
    else:
        print(f"{text_of(about, heads)}\n\nWritten to {out}: heads.csv, heads.png.")


def main() -> None:
    """Run the command line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    run_app(app, "python -m methods.pasta.attention")


if __name__ == "__main__":
    main()

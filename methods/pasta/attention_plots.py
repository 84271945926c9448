"""The pictures of `python -m methods.pasta.attention`, drawn without matplotlib's global state.

Colours work for colour-blind readers: one hue from light to dark for shares, purple against orange for changes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

SHARES, CHANGES = "Blues", "PuOr_r"
MARK = "#c1440e"  # special tokens; vermilion differs from blue for every kind of colour vision


def draw_heads(about: Mapping[str, Any], heads: pd.DataFrame, path: Path) -> None:
    """A cell per head, layers down and heads across: the share of attention that special tokens get, in %.

    With an adapter there are three panels: before, after (on the same scale) and the change in percentage points.
    about, heads: from `attention.study`.
    """
    panels = {
        f"{when} tuning": 100 * rows.pivot(index="layer", columns="head", values="special_share")
        for when, rows in heads.groupby("when", sort=False)
    }
    layers, count = panels["before tuning"].shape
    change = panels["after tuning"] - panels["before tuning"] if len(panels) > 1 else None
    figure, axes = _panels(len(panels) + (change is not None), max(3.0, 0.39 * count) + 0.9, max(1.8, 0.36 * layers))
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
    _save(figure, title, caption, path)


def draw_sentence(about: Mapping[str, Any], pairs: pd.DataFrame, path: Path) -> None:
    """Token by token, one head's attention on one sentence, in %: rows look, columns are looked at.

    pairs: from `attention.study`.
    """
    tokens = about["sentence"]["tokens"]
    special = pairs["to_is_special"][: len(tokens)].to_numpy()
    times = {str(when): rows for when, rows in pairs.groupby("when", sort=False)}
    side, margin = max(3.0, 0.21 * len(tokens)), 0.075 * min(20, max(map(len, tokens)))
    figure, axes = _panels(len(times), side + margin, side + margin)
    for ax, (when, rows) in zip(axes, times.items(), strict=True):
        attention = 100 * rows["attention"].to_numpy().reshape(len(tokens), -1)
        image = ax.imshow(attention, cmap=SHARES, vmin=0, vmax=100)
        share = attention[~special][:, special].sum(axis=1).mean() if (~special).any() else 0.0
        ax.set_title(f"{when} tuning: {share:.0f} % goes to special tokens", fontsize=10, parse_math=False)
        ax.set_xlabel("token that is looked at")
        for axis, rotation in ((ax.xaxis, 90), (ax.yaxis, 0)):
            axis.set_ticks(range(len(tokens)))
            names = [token if len(token) <= 20 else f"{token[:19]}…" for token in tokens]
            axis.set_ticklabels(names, rotation=rotation, fontsize=8, parse_math=False)  # "$" would start a formula
            for label, marked in zip(axis.get_ticklabels(), special, strict=True):
                label.set_color(MARK if marked else "black")
    axes[0].set_ylabel("token that looks")
    figure.colorbar(image, ax=list(axes), pad=0.02).set_label("% of a token's attention")
    cut = f" Cut to {len(tokens)} tokens." if about["sentence"]["cut"] else ""
    caption = f"{about['model']}, {about['task']}. Special tokens are red, and dark columns in a vertical head.{cut}"
    _save(figure, f"Attention in layer {about['sentence']['layer']}, head {about['sentence']['head']}", caption, path)


def _panels(count: int, width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(max(6.5, count * width + 1.5), height + 2.2), layout="compressed")
    return figure, figure.subplots(1, count, squeeze=False)[0]


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


def _save(figure: Figure, title: str, caption: str, path: Path) -> None:
    """Write the figure with a title above and a caption below, both broken to its width."""
    width = figure.get_figwidth()
    figure.suptitle(textwrap.fill(title, int(9 * width)), fontsize=13, parse_math=False)
    figure.supxlabel(textwrap.fill(caption, int(12 * width)), fontsize=9.5, parse_math=False)
    figure.savefig(path, dpi=160, bbox_inches="tight")

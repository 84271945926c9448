"""The pictures of `python -m bench attention`: heat maps of heads, and one head's attention on one sentence.

Colours are told apart by colour-blind readers: one hue from light to dark for shares, and purple against orange for
changes. matplotlib is imported inside the functions, and without its global state.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.attention.measure import VERTICAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.attention.study import Study

DPI = 160
SHARES, CHANGES = "Blues", "PuOr_r"
MARK = "#c1440e"  # special tokens; vermilion stays apart from blue for every kind of colour vision


def draw_heads(study: Study, path: Path) -> None:
    """One cell a head, layers down and heads across: the share of attention that special tokens get, in %.

    With an adapter there are three panels: before, after (on the same scale) and the change in percentage points.
    """
    panels = {_when(study, when): 100 * shares.special for when, shares in study.shares.items()}
    layers, heads = study.before.special.shape
    count = len(panels) + (study.change is not None)
    width, height = max(3.0, 0.39 * heads), max(1.8, 0.36 * layers)
    figure = _figure(count * (width + 0.4) + 1.3 * (count - len(panels) + 1), height + (2.9 if count == 1 else 2.4))
    axes = figure.subplots(1, count, squeeze=False, sharey=True)[0]
    image: Any = None
    for ax, (title, values) in zip(axes, panels.items(), strict=False):
        image = _head_map(ax, values, title, SHARES, 0, 100)
    bar = figure.colorbar(image, ax=list(axes[: len(panels)]), pad=0.02)
    bar.set_label("% of an ordinary token's attention\nthat goes to special tokens")
    uniform = 100 * study.before.uniform_special
    bar.ax.axhline(uniform, color=MARK, linewidth=2)
    if study.change is not None:
        change = 100 * study.change
        most = max(1.0, float(np.abs(change).max()))
        image = _head_map(axes[-1], change, "change: after minus before", CHANGES, -most, most)
        figure.colorbar(image, ax=axes[-1], pad=0.04).set_label("percentage points")
    axes[0].set_ylabel("layer (1 is next to the input)")
    _title(figure, f"How much of their attention ordinary tokens give to the special tokens {', '.join(study.slots)}")
    _caption(
        figure,
        f"{_what(study)}, {study.before.examples} examples of {study.split}. Each cell is one attention head: the mean "
        "over the examples' ordinary tokens (no special token, no padding) of the attention that they give to special "
        f"tokens. Red line on the scale: equal attention to all tokens would give {uniform:.0f} %. A head far above it "
        "is a vertical head: whatever the token, it looks at the special tokens, so what is changed there reaches "
        f"every token through it. More than {100 * VERTICAL:.0f} % in "
        f"{', '.join(f'{s.vertical} of {s.special.size} heads {when}' for when, s in study.shares.items())} tuning.",
    )
    figure.savefig(path, dpi=DPI, bbox_inches="tight")


def draw_sentence(study: Study, path: Path) -> None:
    """Token by token, one head's attention on one sentence, in %: rows look, columns are looked at."""
    tokens, special = study.sentence.tokens, study.sentence.special
    maps = study.pictured_maps()
    side = max(3.0, 0.21 * len(tokens))
    margin = 0.075 * min(20, max(map(len, tokens)))
    figure = _figure(len(maps) * (side + margin + 0.4) + 1.2, side + margin + 1.9)
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    image: Any = None
    for ax, (when, attention) in zip(axes, maps.items(), strict=True):
        image = ax.imshow(100 * attention, cmap=SHARES, vmin=0, vmax=100)
        share = 100 * attention[~special][:, special].sum(axis=1).mean() if (~special).any() else 0.0
        title = f"{_when(study, when)}\n{share:.0f} % goes to special tokens"
        ax.set_title(title, fontsize=11 * _scale(figure), parse_math=False)
        ax.set_xlabel("token that is looked at")
        _token_ticks(ax, tokens, special)
        for at in np.flatnonzero(special):
            ax.add_patch(_outline(at - 0.5, -0.5, 1, len(tokens)))
    axes[0].set_ylabel("token that looks")
    figure.colorbar(image, ax=list(axes), pad=0.02).set_label("% of the token's attention (a row makes 100)")
    layer, head = study.pictured
    which = "" if study.question.head else ", the most vertical head"
    _title(figure, f"What each token looks at in layer {layer}, head {head}{which}")
    _caption(
        figure,
        f"{_what(study)}. Each row shows where one token's attention goes. Special tokens are red; their columns are "
        "framed. In a vertical head these columns are dark from top to bottom: every token reads the special tokens."
        + (f" The sentence is cut to {len(tokens)} tokens." if study.sentence.cut else ""),
    )
    figure.savefig(path, dpi=DPI, bbox_inches="tight")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(max(width, 6.5), height), layout="compressed")  # drawn by Agg, without a display


def _head_map(ax: Axes, values: np.ndarray, title: str, colours: str, low: float, high: float) -> Any:
    layers, heads = values.shape
    image = ax.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto")
    ax.set_title(title, fontsize=11, parse_math=False)
    ax.set_xlabel("head")
    ax.set_xticks(range(heads), labels=map(str, range(1, heads + 1)), fontsize=9)
    ax.set_yticks(range(layers), labels=map(str, range(1, layers + 1)), fontsize=9)
    ax.tick_params(length=0)
    for (layer, head), value in np.ndenumerate(values):
        whole = round(value)
        text = f"{whole:+d}" if low < 0 and whole else str(whole)
        ax.text(head, layer, text, ha="center", va="center", fontsize=8, color=_ink(image, value))
    return image


def _ink(image: Any, value: float) -> str:
    """Black on light cells, white on dark ones."""
    red, green, blue, _ = image.cmap(image.norm(value))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "black"


def _token_ticks(ax: Axes, tokens: list[str], special: np.ndarray) -> None:
    places = range(len(tokens))
    for axis, rotation in ((ax.xaxis, 90), (ax.yaxis, 0)):
        axis.set_ticks(places)
        # "$" would start a formula.
        axis.set_ticklabels([_short(token) for token in tokens], rotation=rotation, fontsize=8, parse_math=False)
        for label, is_special in zip(axis.get_ticklabels(), special, strict=True):
            if is_special:
                label.set(color=MARK, fontweight="bold")
    ax.tick_params(length=0)


def _short(token: str) -> str:
    return token if len(token) <= 20 else f"{token[:19]}…"


def _outline(x: float, y: float, width: float, height: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, fill=False, edgecolor=MARK, linewidth=1, clip_on=False)


def _when(study: Study, when: str) -> str:
    method = study.question.method
    return f"{when} tuning" + (f" with {method.name}" if method and when != "before" else "")


def _what(study: Study) -> str:
    return f"Model {study.question.model}, task {study.question.task.name}"


def _title(figure: Figure, text: str) -> None:
    size = 13 * _scale(figure)
    figure.suptitle(_wrapped(figure, text, size), fontsize=size, parse_math=False)


def _caption(figure: Figure, text: str) -> None:
    size = 9.5 * _scale(figure)
    figure.supxlabel(_wrapped(figure, text, size), fontsize=size, parse_math=False)


def _scale(figure: Figure) -> float:
    """Large figures are shown reduced: their texts grow, up to twice."""
    return float(np.clip(figure.get_figwidth() / 16, 1, 2))


def _wrapped(figure: Figure, text: str, size: float) -> str:
    """Text in points of this size, broken to the figure's width; a character is about 0.6 as wide as it is high."""
    return textwrap.fill(text, int(figure.get_figwidth() * 72 / (0.6 * size)))

"""Tables for people as plain text, Markdown, LaTeX and HTML."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tabulate import tabulate

from bench.leaderboard.layout import UNKNOWN, Cell, Layout
from bench.sanitize import latex, markdown, one_line
from bench.text import text_table


class Markup(NamedTuple):
    """How a format writes text that means nothing to it, and the parts of a cell."""

    escape: Callable[[str], str]
    unknown: str
    bold: str
    spread: str
    letters: str


MARKDOWN = Markup(markdown, "–", "**{}**", " ± {}", " <sup>{}</sup>")
HTML = Markup(lambda text: html.escape(one_line(text)), "–", "<b>{}</b>", " <small>± {}</small>", " <sup>{}</sup>")
LATEX = Markup(latex, "--", r"\textbf{{{}}}", r"\,{{\scriptsize $\pm$ {}}}", r"\textsuperscript{{{}}}")


def as_text(layouts: Sequence[Layout]) -> str:
    """One plain-text table of all, which have the same columns, each under its title; without letters in cells."""
    rows, titles = list[list[str]](), dict[int, str]()
    for layout in layouts:
        titles[len(rows)] = layout.title
        rows += [[f"{cell.text} ± {cell.spread}" if cell.spread else cell.text for cell in row] for row in layout.rows]
    columns = layouts[0].columns if layouts else {}
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # A heading is no wider than its column, as far as its words allow.
    headings = [
        textwrap.fill(one_line(name), max(width, *map(len, name.split())), break_on_hyphens=False)
        for name, width in zip(columns, widths, strict=False)
    ]
    shown, align = [dict(zip(headings, row, strict=True)) for row in rows], list(columns.values())
    if len(layouts) == 1:
        return f"{one_line(layouts[0].title)}\n\n{text_table(shown, align)}"
    return text_table(shown, align, titles)


def as_markdown(layouts: Sequence[Layout], legend: str = "") -> str:
    """Tables as GitHub's Markdown has them, each under its title."""
    parts = []
    for layout in layouts:
        aligned = list(layout.columns.values())
        table = tabulate(_written(layout, MARKDOWN), _headings(layout, MARKDOWN), "pipe", colalign=aligned,
                         disable_numparse=True)  # fmt: skip
        parts += [markdown(f"{layout.title}."), table]
    return "\n\n".join([*parts, *([markdown(legend)] if legend else [])])


def as_html(layouts: Sequence[Layout], legend: str = "") -> str:
    """Tables without styles or scripts, each with its title as caption."""
    parts = []
    for layout in layouts:
        table = tabulate(_written(layout, HTML), _headings(layout, HTML), "unsafehtml",
                         colalign=list(layout.columns.values()), disable_numparse=True)  # fmt: skip
        parts.append(table.replace("<table>", f"<table>\n<caption>{HTML.escape(f'{layout.title}.')}</caption>", 1))
    return "\n".join([*parts, *([f"<p>{HTML.escape(legend)}</p>"] if legend else [])])


def as_latex(layouts: Sequence[Layout], legend: str = "") -> str:
    """Tables in the style of booktabs, whose package the document must load, the legend in each caption."""
    parts = [r"% \usepackage{booktabs}"]
    for layout in layouts:
        aligned = "".join(align[0] for align in layout.columns.values())
        rows = [" & ".join(row) + r" \\" for row in _written(layout, LATEX)]
        caption = latex(" ".join(filter(None, (f"{layout.title}.", " ".join(legend.split())))))
        parts.append("\n".join([
            r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\begin{{tabular}}{{{aligned}}}", r"\toprule",
            " & ".join(_headings(layout, LATEX)) + r" \\", r"\midrule", *rows, r"\bottomrule", r"\end{tabular}",
            r"\end{table}",
        ]))  # fmt: skip
    return "\n\n".join(parts)


def _headings(layout: Layout, markup: Markup) -> list[str]:
    return [markup.escape(name) for name in layout.columns]


def _written(layout: Layout, markup: Markup) -> list[list[str]]:
    return [[_cell(cell, markup) for cell in row] for row in layout.rows]


def _cell(cell: Cell, markup: Markup) -> str:
    if cell.text == UNKNOWN:
        return markup.unknown
    text = markup.escape(cell.text)
    if cell.bold:
        # Of a difference the interval behind it stays as it is.
        value, blank, rest = text.partition(" ")
        text = f"{markup.bold.format(value)}{blank}{rest}"
    spread = markup.spread.format(cell.spread) if cell.spread else ""
    return text + spread + (markup.letters.format(cell.letters) if cell.letters else "")

"""`attention`: how much each head looks at the special tokens, before tuning and after."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import DEFAULT_RESULTS, AsJson, Mirror, ModelName, Plugins, print_json, stderr_console
from bench.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from bench.attention.study import Study
    from bench.plugins.task import Example, Task

MOST_SHOWN = 10


def attention(
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
    from bench.adapters import read_method
    from bench.grid import models
    from bench.plugins import registry
    from bench.runner.plan import fetch, references
    from bench.runner.progress import FetchDisplay
    from bench.runner.request import suite_of

    if (layer is None) != (head is None):
        raise UsageError("Give --layer and --head together: a head is known by both.")
    usual = suite_of(None, None)
    model_name, task_name = model or usual.model, task or usual.tasks[0]
    read = registry.tasks(plugin or ()).get(task_name).plugin()
    example = _example(read, sentence, pair)
    method = read_method(adapter, registry.methods(plugin or ())) if adapter is not None else None
    label = models.find(model_name).name
    console = stderr_console()
    with FetchDisplay(console) as display:
        found = fetch(references([task_name], model_name, plugin or ()), mirror, display.told)

    from bench.attention.files import write
    from bench.attention.study import Question, study

    question = Question(
        model=label,
        model_path=found[f"model {label}"].path,
        task=read,
        data=found[f"task {task_name}"].path,
        examples=examples,
        head=None if layer is None or head is None else (layer, head),
        sentence=example,
        method=method,
        adapter=adapter,
    )
    console.print(f"Reading the attention of {label} on {task_name} ...", markup=False)
    seen = study(question)
    files = write(seen, out or _default_folder(label, task_name, adapter))
    if as_json:
        print_json({**seen.summary(), "files": [str(file) for file in files]})
        return
    print(_text(seen))
    print(f"\nWritten to {files[0].parent}: {', '.join(file.name for file in files)}.")


def _example(task: Task, sentence: str | None, pair: str | None) -> Example | None:
    """The sentence to picture as an example of the task; None: none was given."""
    from bench.plugins.task import Example

    if sentence is None:
        if pair is not None:
            raise UsageError("--pair is the second part of a --sentence, and there is none.")
        return None
    if task.pair != (pair is not None):
        wanted = "needs --pair, the second part" if task.pair else "has no second part; leave --pair out"
        raise UsageError(f"A sentence of the task {task.name} {wanted}.")
    words = task.kind == "token-classification"
    return Example(tuple(sentence.split()) if words else sentence, 0, pair)


def _default_folder(model: str, task: str, adapter: Path | None) -> Path:
    parts = [model, task, *([adapter.resolve().name] if adapter else [])]
    return DEFAULT_RESULTS / "attention" / re.sub(r"[^\w.-]+", "-", "-".join(parts))


def _text(found: Study) -> str:
    """The most vertical heads as a table, and what to make of it."""
    from bench.attention.measure import VERTICAL
    from bench.text import text_table

    before, after, change = found.before, found.after, found.change
    rows = []
    for layer, head in found.ranking[:MOST_SHOWN]:
        at = layer - 1, head - 1
        row = {"layer": str(layer), "head": str(head), "special %": f"{100 * before.special[at]:.1f}"}
        row |= {name: f"{100 * before.slots[(slot, *at)]:.1f}" for slot, name in enumerate(found.slots)}
        if after is not None and change is not None:
            row |= {"after %": f"{100 * after.special[at]:.1f}", "change": f"{100 * change[at]:+.1f}"}
        rows.append(row)
    total = before.special.size
    layers, heads = before.special.shape
    lines = [
        f"{found.question.model} on {found.question.task.name}, {before.examples} examples of {found.split}: how much "
        f"of their attention ordinary tokens\ngive to the special tokens {', '.join(found.slots)}. Equal attention to "
        f"all tokens would give {100 * before.uniform_special:.1f} %.",
        "",
        text_table(rows, ["right"] * len(rows[0])),
        "",
        f"The {len(rows)} most vertical of {total} heads ({layers} layers x {heads}).",
        f"More than {100 * VERTICAL:.0f} % goes to special tokens in {before.vertical} heads; the mean of all is "
        f"{100 * before.special.mean():.1f} %.",
    ]
    if after is not None and change is not None and found.question.method is not None:
        lines.append(
            f"With {found.question.method.name}: {after.vertical} heads; {100 * after.special.mean():.1f} %. "
            f"Largest rise {_extreme(change, 1)}, largest fall {_extreme(change, -1)} (percentage points)."
        )
    layer, head = found.pictured
    return "\n".join([*lines, f"The sentence is pictured in layer {layer}, head {head}."])


def _extreme(change: np.ndarray, sign: int) -> str:
    """The largest change of this sign, and where it is."""
    layer, head = divmod(int((sign * change).argmax()), change.shape[1])
    return f"{100 * change[layer, head]:+.1f} (layer {layer + 1}, head {head + 1})"

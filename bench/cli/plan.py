"""`plan`: what a grid will train, without running it."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.common import (
    EXIT_FAILED,
    AsJson,
    Methods,
    Mirror,
    ModelName,
    Plugins,
    Preset,
    SuiteOption,
    Tasks,
    print_json,
    stderr_console,
)


def plan(
    methods: Methods = None,
    tasks: Tasks = None,
    model: ModelName = None,
    special_tokens: Annotated[
        int | None, typer.Option(min=1, help="Count as if a full input had so many. Default: as the tokenizer has it.")
    ] = None,
    preset: Preset = None,
    suite: SuiteOption = None,
    mirror: Mirror = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Count what every method of a grid trains, with and without the head. Needs neither weights nor data."""
    from bench import models, registry, running, sources
    from bench import plan as planning
    from bench.modeling import quiet_libraries
    from bench.specs import parse_all, split_list
    from bench.tables import plan_table

    chosen = running.suite_of(suite, preset)
    found, known = registry.methods(plugin or ()), registry.tasks(plugin or ())
    built = [registry.build_method(found, s) for s in parse_all(methods or ",".join(chosen.methods))]
    wanted = [known.get(name).plugin() for name in (split_list(tasks) if tasks is not None else chosen.tasks)]
    chosen_model = models.find(model or chosen.model)
    quiet_libraries()
    frame = planning.frame(chosen_model, lambda source: sources.resolve(source, mirror=mirror))
    if special_tokens is not None:
        frame = frame.with_special_tokens(special_tokens)
    counts = planning.counts(frame, wanted, [(each, registry.changed_params(each.params)) for each in built])
    rows = [count.row(chosen_model.name) for count in counts]
    if as_json:
        print_json(rows)
        return
    print(plan_table(rows))
    for reason in dict.fromkeys(count.reason for count in counts if count.reason):
        stderr_console().print(f"Skipped: {reason}", markup=False)
    wrong = [c for c in counts if c.parameters and c.formula not in (None, c.parameters.trainable)]
    for count in wrong:
        stderr_console().print(f"{count.method.name} on {count.task.name}: its formula says {count.formula:,}.")
    if wrong:
        raise typer.Exit(EXIT_FAILED)

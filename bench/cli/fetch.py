"""`fetch`: downloads ahead of a run."""

from __future__ import annotations

from bench.cli.common import AsJson, Mirror, ModelName, Plugins, Preset, SuiteOption, Tasks, print_json, stderr_console


def fetch(
    tasks: Tasks = None,
    model: ModelName = None,
    preset: Preset = None,
    suite: SuiteOption = None,
    mirror: Mirror = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Bring everything that a run would download, ahead of it."""
    from bench.plugins.specs import split_list
    from bench.runner.plan import fetch, references
    from bench.runner.progress import FetchDisplay
    from bench.runner.request import suite_of

    chosen = suite_of(suite, preset)
    names = split_list(tasks) if tasks is not None else chosen.tasks
    wanted = references(names, model or chosen.model, plugin or ())
    with FetchDisplay(stderr_console()) as display:
        found = fetch(wanted, mirror, display.told)
    if as_json:
        print_json(
            [
                {"name": name, "source": wanted[name], "revision": each.revision, "path": str(each.path)}
                for name, each in found.items()
            ]
        )
        return
    for name, each in found.items():
        print(f"{name}: {each.path}")

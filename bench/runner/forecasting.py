"""What a request to run a grid would take; nothing is fetched but what a plan cannot do without."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace

from bench import profiles
from bench.forecast import grid, memory
from bench.forecast.grid import Forecast, Setting
from bench.forecast.parameters import frame
from bench.forecast.seconds import Estimator, rate
from bench.grid import models
from bench.plugins import registry
from bench.plugins.specs import build_method, changed_params
from bench.profiles.probe import probe
from bench.records.record import new_record
from bench.records.store import Store
from bench.runner.plan import Plan
from bench.runner.request import Request
from bench.sources.resolve import local, resolve
from bench.train.model import load_tokenizer, quiet_libraries


def forecast(request: Request, special_tokens: int | None = None) -> tuple[Setting, list[Forecast]]:
    """The setting of a request, and what each of its methods takes on each of its tasks.

    special_tokens: to assume per input; None: as the tokenizer adds them.

    Raises:
        BenchError: for wrong names, parameters and profiles, and a model whose shape is unavailable.
    """
    with contextlib.redirect_stdout(sys.stderr):  # plugins may print, and standard output is the command's
        return _forecast(request, special_tokens)


def _forecast(request: Request, special_tokens: int | None) -> tuple[Setting, list[Forecast]]:
    found, known = registry.methods(request.plugins), registry.tasks(request.plugins)
    built = [build_method(found, spec) for spec in request.methods]
    tasks = [known.get(name).plugin() for name in request.tasks]
    chosen_model = models.find(request.model)
    machine = probe()
    # A profile of another machine is allowed: nothing runs.
    wanted = profiles.choose(machine)[0] if request.profile == profiles.AUTO else profiles.load(request.profile)
    if request.options.workers is not None:
        wanted = wanted.with_workers(request.options.workers)
    quiet_libraries()
    shape = frame(chosen_model, lambda source: resolve(source, mirror=request.mirror))
    if special_tokens is not None:
        shape = shape.with_special_tokens(special_tokens)
    here = local(chosen_model.source, request.mirror)
    setting = Setting(
        model=chosen_model.name,
        frame=shape,
        tokenizer=load_tokenizer(here.path) if here else None,
        suite=request.suite,
        recipes=request.recipes,
        profile=wanted,
        memory=memory.available(wanted, machine),
        rate=rate(wanted, machine),
        mirror=request.mirror,
    )
    estimator = Estimator(Store(request.results).all()[0])
    return setting, grid.forecast(setting, tasks, [(m, changed_params(m.params)) for m in built], estimator)


def skip_unfit(planned: Plan, request: Request, record: bool) -> Plan:
    """The plan, its cells that are predicted not to fit into memory marked as skipped; record: write their records."""
    _, forecasts = forecast(request)
    reasons = {(each.count.method.name, each.count.variant, each.count.task.name): each.unfit for each in forecasts}
    finished = dict(planned.finished)
    for cell in planned.pending:
        if reason := reasons[cell.method, cell.variant, cell.task]:
            finished[cell.id] = skipped = new_record(cell)
            skipped.status, skipped.reason = "skipped", reason
            if record:
                Store(request.results).write(skipped)
    return replace(planned, finished=finished)

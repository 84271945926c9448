"""What a request to run a grid would take; nothing is fetched but what a plan cannot do without."""

from __future__ import annotations

from bench import profiles
from bench.forecast import fitting, grid
from bench.forecast.counting import frame
from bench.forecast.estimate import Estimator
from bench.forecast.grid import Forecast, Setting
from bench.forecast.seconds import rate
from bench.grid import models
from bench.plugins import registry
from bench.plugins.specs import build_method, changed_params
from bench.profiles.probe import probe
from bench.records.store import Store
from bench.runner.plan import books_of
from bench.runner.request import Request
from bench.sources.resolve import local, resolve
from bench.train.model import load_tokenizer, quiet_libraries


def forecast(request: Request, special_tokens: int | None = None) -> tuple[Setting, list[Forecast]]:
    """The setting of a request, and what each of its methods takes on each of its tasks.

    special_tokens: as if a full input had so many; None: as the tokenizer has it.

    Raises:
        BenchError: for wrong names, parameters and profiles, and a model whose shape cannot be had.
    """
    found, known = registry.methods(request.plugins), registry.tasks(request.plugins)
    built = [build_method(found, spec) for spec in request.methods]
    tasks = [known.get(name).plugin() for name in request.tasks]
    chosen_model = models.find(request.model)
    machine = probe()
    # Of another machine's profile it is enough that there is one.
    wanted = profiles.choose(machine)[0] if request.profile == profiles.AUTO else profiles.load(request.profile)
    if request.workers is not None:
        wanted = wanted.with_workers(request.workers)
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
        books=books_of(request, found),
        profile=wanted,
        memory=fitting.available(wanted, machine),
        rate=rate(wanted, machine),
        mirror=request.mirror,
    )
    estimator = Estimator(Store(request.results).all()[0])
    return setting, grid.forecast(setting, tasks, [(m, changed_params(m.params)) for m in built], estimator)

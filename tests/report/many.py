"""Records for reports: a lifelike grid, and records whose every text is hostile."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Any

from made import failed, memory, parameters, record, speed

from bench.plugins.recipe import Recipe
from bench.records.record import ExtraTest, Record

# Share in %, score's distance from the best, MiB, examples/s; of no particular method.
METHODS = {
    "full": (100.0, 0.00, 1500.0, 55.0),
    "lora": (0.325, 0.01, 1260.0, 60.0),
    "pasta": (0.0203, 0.03, 1005.0, 73.0),
    "bitfit": (0.113, 0.04, 850.0, 80.0),
    "head": (0.0, 0.18, 780.0, 115.0),
}
TASKS = {"rt-polarity": "accuracy", "us-address": "entity_f1", "sms-spam": "matthews"}
ENVIRONMENT = {
    "machine": {"cpu_model": "a CPU", "cpu_cores_allowed": 2, "memory_limit_mib": None, "gpus": []},
    "versions": {"torch": "2.13.0+cpu"},
    "code": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
}
RECIPE = Recipe(learning_rate=2e-3, epochs=3, chosen_by="a test, by hand")


def lifelike(tasks: Iterable[str] = TASKS) -> list[Record]:
    """Three seeds of each method on these tasks; us-address has an extra test."""
    chance = random.Random(0)
    return [_trained(method, task, seed, chance) for method in METHODS for task in tasks for seed in range(3)]


def _trained(method: str, task: str, seed: int, chance: random.Random) -> Record:
    share, worse, peak, rate = METHODS[method]
    steps, trained = 800, round(share * 227_000)
    score = 0.9 - worse + chance.gauss(0, 0.012)
    tokens = {"train_tokens_per_second": rate * 25, "step_p50_ms": 1e3 / rate}
    return record(
        method,
        seed,
        of={"task": task},
        metric=TASKS[task],
        scores={TASKS[task]: score},
        constant_score=0.5,
        parameters=parameters(trainable=trained, share_percent=share, share_with_head_percent=share + 0.003),
        memory=memory(train_peak_mib=peak + chance.gauss(0, 20), eval_peak_mib=700.0),
        speed=speed(train_examples_per_second=rate + chance.gauss(0, 2), **tokens),
        adapter_bytes=4 * trained + 3500,
        timeline={"train": 2000 / rate, "untracked": 0.5, "total": 2000 / rate + 4},
        losses=[0.2 + worse + 0.6 * math.exp(-at / 200) + chance.gauss(0, 0.05) for at in range(steps)],
        predictions=[int(chance.random() < score) for _ in range(400)],
        references=[1] * 400,
        extra_tests={"messiest": ExtraTest(scores={TASKS[task]: score - 0.1})} if task == "us-address" else {},
        last_step=steps,
        environment=ENVIRONMENT,
        recipe=RECIPE,
    )


def small() -> list[Record]:
    """Two tasks, one with an extra test; five methods, three seeds; failures of several kinds."""
    of = {"task": "rt-polarity"}
    return [
        *lifelike(("rt-polarity", "us-address")),
        failed("ia3", 0, "oom", of=of, last_step=17, traceback="Traceback: here\n  it was", environment=ENVIRONMENT),
        failed("ia3", 1, "timeout", of=of, losses=[0.9, 0.8], last_step=2),
        failed("prompt_tuning", 0, "skipped", of=of),
    ]


# What runs if it is taken for markup, script, template or expression anywhere, or turns the text around.
HOSTILE = (
    "</script><img src=x onerror=\"window.hacked='img'\"><script>window.hacked='script'</script>",
    "</style><svg onload=window.hacked=1>",
    "\"' onmouseover='window.hacked=2' x=\"",
    "{{ 7 * 7 }}{% raw %}${window.hacked=3}",
    "<!--<script>",
    "javascript:window.hacked=4",
    "datum.x + warn('x')",
    "a\u202eb\u2066c\x00d\x1b[31me\x7f\u2028\u200ff",
    "=HYPERLINK(\"http://x.invalid\",\"y\")",
    "&lt;b&gt;&amp;",
)  # fmt: skip
ALL_HOSTILE = " ".join(HOSTILE)


def hostile() -> list[Record]:
    """Every text that a plugin, a data set or a failure can choose is one that would run if it could."""
    made = []
    for at, text in enumerate(HOSTILE):
        of: dict[str, Any] = {"variant": text, "task": ALL_HOSTILE, "model": text if at == 1 else "m"}
        common: dict[str, Any] = {
            "of": {**of, "preset": ALL_HOSTILE},
            "metric": ALL_HOSTILE,
            "parameters": parameters(share_percent=float(at)),
            "memory": memory(kind=ALL_HOSTILE, train_peak_mib=100.0 + at),
            "speed": speed(train_examples_per_second=50.0 + at),
            "losses": [0.5, 0.4, 0.3 + at / 50],
            "recipe": RECIPE.model_copy(update={"chosen_by": ALL_HOSTILE}),
            "environment": {"settings": {text: text}, "code": {"commit": text, "dirty": True}},
        }
        made += [record(text, seed, scores={ALL_HOSTILE: 0.5 + at / 50 + seed / 100}, **common) for seed in range(2)]
        trace = {"reason": text, "traceback": f"{text}\n{ALL_HOSTILE}", "bench_version": text, "last_step": at}
        made.append(failed(text, 9, "error", of={"variant": text}).model_copy(update=trace))
    return made

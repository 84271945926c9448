"""Records for reports, made by hand: a large, lifelike set, and one whose every text is hostile."""

from __future__ import annotations

import math
import random
from typing import Any

from made import failed, memory, parameters, record, speed

from bench.plugins.recipe import Recipe
from bench.records.record import ExtraTest, Record

# Share in %, score's distance from the best, MiB, examples/s; of no particular method.
METHODS = {
    ("full", ""): (100.0, 0.00, 1500.0, 55.0),
    ("lora", ""): (0.325, 0.01, 1260.0, 60.0),
    ("lora", "r=16"): (0.649, 0.01, 1290.0, 58.0),
    ("pasta", ""): (0.0203, 0.03, 1005.0, 73.0),
    ("bitfit", ""): (0.113, 0.04, 850.0, 80.0),
    ("prefix_tuning", ""): (0.41, 0.06, 980.0, 64.0),
    ("prompt_tuning", ""): (0.017, 0.14, 1010.0, 50.0),
    ("ia3", ""): (0.045, 0.05, 990.0, 66.0),
    ("adapters", ""): (0.79, 0.015, 900.0, 77.0),
    ("head", ""): (0.0, 0.18, 780.0, 115.0),
}
TASKS = {"rt-polarity": "accuracy", "us-address": "entity_f1", "sms-spam": "matthews", "record-match": "f1",
         "rt-intensity": "spearman"}  # fmt: skip
ENVIRONMENT = {
    "python": "3.11.7",
    "platform": "Linux",
    "machine": {"cpu_model": "a CPU", "cpu_cores_allowed": 2, "memory_limit_mib": None, "gpus": []},
    "versions": {"torch": "2.13.0+cpu", "peft": "0.21.2"},
    "code": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
    "settings": {"TOKENIZERS_PARALLELISM": "false"},
}
RECIPE = Recipe(learning_rate=2e-3, epochs=3, chosen_by="a test, by hand")


def lifelike(count: int = 500) -> list[Record]:
    """Records of ten methods on five tasks over as many seeds as make up the count; one in forty failed."""
    chance = random.Random(0)
    grid = [
        (method, variant, task, seed)
        for seed in range(-(-count // (len(METHODS) * len(TASKS))))
        for task in TASKS
        for method, variant in METHODS
    ]
    return [_one(*point, chance) for point in grid[:count]]


def _one(method: str, variant: str, task: str, seed: int, chance: random.Random) -> Record:
    share, worse, peak, rate = METHODS[method, variant]
    of = {"variant": variant, "task": task, "params": {"variant": variant}}
    common: dict[str, Any] = {"environment": ENVIRONMENT, "recipe": RECIPE}
    steps = 800
    losses = [0.2 + worse + 0.6 * math.exp(-at / 200) + chance.gauss(0, 0.05) for at in range(steps)]
    if chance.random() < 1 / 40:
        status = chance.choice(("oom", "error", "timeout"))
        trace = "".join(f'  File "bench/step_{at}.py", line {at}, in step\n    go()\n' for at in range(20))
        return failed(method, seed, status, of=of, traceback=trace, last_step=120, losses=losses[:120], **common)
    score = 0.9 - worse + chance.gauss(0, 0.012)
    extra = {"messiest": ExtraTest(scores={TASKS[task]: score - 0.1})} if task == "us-address" else {}
    trained = round(share * 227_000)
    return record(
        method,
        seed,
        of=of,
        metric=TASKS[task],
        scores={TASKS[task]: score},
        constant_score=0.5,
        parameters=parameters(trainable=trained, share_percent=share, share_with_head_percent=share + 0.003),
        memory=memory(train_peak_mib=peak + chance.gauss(0, 20), eval_peak_mib=700.0),
        speed=speed(
            train_examples_per_second=rate + chance.gauss(0, 2),
            train_tokens_per_second=rate * 25,
            step_p50_ms=1e3 / rate,
        ),
        adapter_bytes=4 * trained + 3500,
        timeline={"train": 2000 / rate, "untracked": 0.5, "total": 2000 / rate + 4},
        losses=losses,
        predictions=[int(chance.random() < score) for _ in range(400)],
        references=[1] * 400,
        extra_tests=extra,
        last_step=steps,
        **common,
    )


def small() -> list[Record]:
    """Two tasks, one with an extra test; five methods, three seeds; failures of several kinds."""
    wanted = ("full", "lora", "pasta", "bitfit", "head")
    made = [
        each
        for each in lifelike(150)
        if each.cell.method in wanted and not each.cell.variant and each.cell.task in ("rt-polarity", "us-address")
    ]
    of = {"task": "rt-polarity"}
    bad = [
        failed("ia3", 0, "oom", of=of, last_step=17, traceback="Traceback: here\n  it was", environment=ENVIRONMENT),
        failed("ia3", 1, "timeout", of=of, losses=[0.9, 0.8], last_step=2),
        failed("prompt_tuning", 0, "skipped", of=of),
    ]
    return made + bad


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
    for seed in range(2):
        for at, text in enumerate(HOSTILE):
            made.append(
                record(
                    text,
                    seed,
                    0.5 + at / 50 + seed / 100,
                    of={"variant": text, "task": ALL_HOSTILE, "model": text if at == 1 else "m", "preset": ALL_HOSTILE},
                    metric=ALL_HOSTILE,
                    scores={ALL_HOSTILE: 0.5 + at / 50 + seed / 100},
                    parameters=parameters(share_percent=float(at)),
                    memory=memory(kind=ALL_HOSTILE, train_peak_mib=100.0 + at),
                    speed=speed(train_examples_per_second=50.0 + at),
                    losses=[0.5, 0.4, 0.3 + at / 50],
                    recipe=RECIPE.model_copy(update={"chosen_by": ALL_HOSTILE}),
                    environment={"settings": {text: text}, "code": {"commit": text, "dirty": True}},
                )
            )
    for at, text in enumerate(HOSTILE):
        made.append(failed(text, 9, "error", of={"variant": text}, reason=text, traceback=f"{text}\n{ALL_HOSTILE}"))
        made[-1] = made[-1].model_copy(update={"bench_version": text, "last_step": at})
    return made

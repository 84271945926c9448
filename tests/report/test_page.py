"""The page as text: the same for any order of records, of a bounded size, sealed, and with the right charts."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import many
import pytest
from commandline import Bench
from made import failed, parameters, record

from bench.errors import UsageError
from bench.records.record import Record
from bench.records.store import Store
from bench.report import contents, render
from bench.report.charts import Chart

Attributes = dict[str, str | None]


class Page(HTMLParser):
    """A page's tags in order, and the text of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, Attributes]] = []
        self.raw: list[tuple[str, Attributes, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.raw.append((*self.tags[-1], ""))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style") and self.cdata_elem:
            self.raw[-1] = (*self.tags[-1], self.raw[-1][2] + data)

    def of(self, tag: str) -> list[Attributes]:
        return [attributes for name, attributes in self.tags if name == tag]

    def csv(self, table: str) -> str:
        return next(json.loads(text) for _, attributes, text in self.raw if attributes.get("id") == f"{table}-csv")


@pytest.fixture(scope="module")
def small() -> Page:
    return Page(render(many.small()))


def task_charts(records: list[Record], cost: str = "share") -> list[Chart]:
    """The charts against this cost, a task after the other."""
    answers = contents.contents(records).answers
    return [chart for answer in answers for task in answer.tasks for chart in task.charts if chart.cost.name == cost]


def test_the_order_of_records_does_not_matter_to_a_byte(small: Page) -> None:
    records = many.small()
    random.Random(0).shuffle(records)
    assert render(records) == small.text
    with pytest.raises(UsageError, match="no records"):
        render([])


def test_large_contents_are_bounded_and_say_what_they_leave_out(monkeypatch: pytest.MonkeyPatch) -> None:
    records = many.small()
    whole = contents.contents(records)
    assert not whole.left_out
    assert not any(table.rest for table in whole.tables.values())
    for name, limit in (("MAX_ROWS", 15), ("MAX_GROUPS", 2), ("MAX_FAILURES", 1)):
        monkeypatch.setattr(contents, name, limit)
    found = contents.contents(records)
    for table, option, limit, count in (
        ("leaderboard", "", 15, 17), ("pairs", " --pairs", 15, 30), ("cells", " --per-cell", 15, 48),
        ("failures", " --per-cell", 1, 3),
    ):  # fmt: skip
        command = f"`python -m bench leaderboard{option} --out FILE.csv`"
        assert found.tables[table].rest == f"These are the first {limit} of {count} rows. {command} writes all."
        assert len(found.tables[table].lines) == limit
    assert found.left_out == "Charts are of the first 2 of 3 groups."
    assert [[len(answer.tasks) for answer in each.answers] for each in (whole, found)] == [[3], [2]]
    assert found.tables["leaderboard"].csv.count("\n") == 16  # the header, too


def test_the_policy_names_every_script_and_style_and_allows_nothing_else(small: Page) -> None:
    policy = next(str(meta["content"]) for meta in small.of("meta") if "http-equiv" in meta)
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}

    def digests(tag: str) -> list[str]:
        texts = [text for name, attributes, text in small.raw if name == tag and "type" not in attributes]
        return [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts]

    assert rules["script-src"] == digests("script")
    assert rules["style-src"] == digests("style")
    assert rules["default-src"] == rules["connect-src"] == ["'none'"]
    assert rules["img-src"] == ["data:", "blob:"]
    assert "unsafe" not in policy
    assert not any("style" in attributes for _, attributes in small.tags)
    assert not any(name.startswith("on") for _, attributes in small.tags for name in attributes)
    links = [value for _, attributes in small.tags for name, value in attributes.items() if name in ("href", "src")]
    assert links
    assert all(str(link).startswith(("#", "data:,")) for link in links)
    assert "://" not in " ".join(text for tag, at, text in small.raw if tag == "script" and "type" in at)


def test_headings_are_in_order_and_ids_unique(small: Page) -> None:
    levels = [int(tag[1]) for tag, _ in small.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [at["id"] for _, at in small.tags if "id" in at]
    assert len(ids) == len(set(ids))
    targets = {str(at["href"])[1:] for at in small.of("a") if str(at.get("href")).startswith("#")}
    assert targets <= set(ids)
    downloads = [at for at in small.of("button") if at.get("class") == "csv"]
    assert len(downloads) == len(small.of("table")) - 1 == 9  # the matrix has the leaderboard's numbers
    assert {at["data-csv"] for at in downloads} <= set(ids)


# Charts


def points(**changes: Any) -> list[Record]:
    """Three rows of one seed: none, a little and all of the parameters trained; the little one is the best."""
    return [
        record(method, 0, score, parameters=parameters(share_percent=share, trainable=round(share)), **changes)
        for method, score, share in (("none", 0.5, 0.0), ("little", 0.9, 0.02), ("all", 0.8, 100.0))
    ]


def test_a_share_of_zero_has_a_place_before_the_logarithmic_axis() -> None:
    (chart,) = task_charts(points())
    assert chart.note == "Front: none, little."
    marks = {mark.text: mark for mark in chart.marks}
    assert chart.frame.left < marks["none"].x < chart.broken < marks["little"].x < marks["all"].x < chart.frame.right
    assert [tick.text for tick in chart.ticks[0]] == ["0", "0.1", "1", "10", "100"]
    assert chart.front == f"M{marks['none'].x} {marks['none'].y}H{marks['little'].x}V{marks['little'].y}"
    assert "Pareto front from the cheapest on: none (0.5000 at 0); little (0.9000 at 0.0200)." in chart.description
    assert marks["little"].tip.splitlines()[:2] == ["little", "matthews 0.9000"]


def test_less_may_be_better() -> None:
    (chart,) = task_charts(points(higher_is_better=False))
    assert chart.note == "Front: none."
    assert chart.titles[1] == "matthews, lower is better"


def test_a_row_without_a_cost_is_named_and_not_drawn() -> None:
    made = [*points(), record("unmeasured", 0, 0.7), failed("broken")]
    (chart,) = task_charts(made)
    assert chart.note.endswith("Not shown, since this cost is not known: unmeasured.")
    assert len(chart.marks) == 3
    assert task_charts(made, "memory") == []  # no row has one


def test_a_wild_interval_does_not_stretch_the_axis_and_ends_in_an_arrow() -> None:
    scores = {"wild": (0.1, 0.9, 0.92), "calm": (0.8, 0.82, 0.81), "best": (0.94, 0.95, 0.96)}
    made = [
        record(method, seed, score, parameters=parameters(share_percent=1.0 + at))
        for at, (method, of) in enumerate(scores.items())
        for seed, score in enumerate(of)
    ]
    (chart,) = task_charts(made)
    cut = {mark.text: (mark.interval.cut_low, mark.interval.cut_high) for mark in chart.marks}
    assert cut == {"wild": (True, True), "calm": (False, False), "best": (False, False)}
    assert chart.note.endswith("Arrow: the interval goes beyond the axis (wild).")
    values = [float(tick.text.replace("−", "-")) for tick in chart.ticks[1]]
    assert values[-1] <= 1.0
    assert values[0] >= 0.4


def test_loss_curves_share_axes_and_show_seeds_and_their_mean() -> None:
    made = [record("a", seed, 0.5, losses=[1.0 + seed] * 60 + [3.0 + seed] * 60) for seed in (0, 1)]
    made += [failed("a", 2, losses=[9.0, 9.0]), record("b", 0, 0.6, losses=[2.0] * 120), record("c", 0, 0.7)]
    (answer,) = contents.contents(made).answers
    found = answer.tasks[0].losses
    assert found is not None
    assert [(panel.label, len(panel.seeds), bool(panel.mean)) for panel in found.panels] == [
        ("b", 0, True), ("a", 3, True)
    ]  # fmt: skip
    assert found.panels[1].tip == "Training loss of a, 3 seeds, mean of the last steps 3.5000"
    assert found.panels[1].mean.count("L") == 39
    assert "a point is the mean of 3 steps" in found.note
    assert found.note.endswith("Losses above the axis are drawn at its upper end.")
    assert found.ticks[1][-1].text == "6"  # 1.5 times the way to the median of the highest losses, 2 and 9, is 7.75


def test_an_extra_test_has_a_chart_and_its_tasks_losses_are_shown_once() -> None:
    (answer,) = contents.contents(many.small()).answers
    assert [(task.title, bool(task.losses)) for task in answer.tasks] == [
        ("rt-polarity", True), ("us-address", True), ("us-address/messiest", False)
    ]  # fmt: skip


@pytest.mark.parametrize("made", [failed("a", 0, "oom"), record("a", 0, None), record("a", 0, 0.5, timeline={})])
def test_a_page_without_data_has_no_charts(made: Record) -> None:
    (answer,) = contents.contents([made]).answers
    assert (answer.charts, answer.narrow, answer.tasks[0].charts, answer.tasks[0].losses) == ([], [], [], None)
    assert render([made])


def test_every_board_has_an_answer_of_its_own_and_columns_that_vary_are_shown() -> None:
    made = [record(method, 0, 0.5, of={"model": model}) for method in "ab" for model in ("one", "two")]
    found = contents.contents(made)
    assert [answer.title for answer in found.answers] == [
        f"{model}, profile cpu, suite quick" for model in ("one", "two")
    ]
    shown = [heading.key for heading in found.tables["leaderboard"].headings if not heading.more]
    assert "model" in shown
    assert "profile" not in shown


def test_marks_say_what_the_letters_say_and_flag_constant_answers() -> None:
    made = [
        record(method, seed, score, constant_score=0.3, parameters=parameters(share_percent=share))
        for method, share, scores in (("best", 1.0, (0.9, 0.91, 0.92)), ("bad", 2.0, (0.2, 0.23, 0.21)))
        for seed, score in enumerate(scores)
    ]
    (answer,) = contents.contents(made).answers
    for chart in (answer.charts[0], answer.narrow[0], answer.tasks[0].charts[0]):
        assert {mark.text: mark.hollow for mark in chart.marks} == {"best": False, "bad †": True}
    assert answer.overall.lines[1].cells[0].flag == "† 3 of its trainings no better than a constant answer"
    cell = answer.matrix.lines[1].cells[1]
    assert (cell.text, cell.after, cell.letters, cell.flag[0]) == ("0.2133", "± 0.0153", "b", "†")


def test_metrics_of_two_directions_are_drawn_as_gains() -> None:
    made = [
        record(method, seed, score, parameters=parameters(share_percent=share), of={"task": task}, higher_is_better=up)
        for method, share, scores in (("head", 0.0, (0.5, 0.4)), ("x", 1.0, (0.7, 0.3)), ("full", 100.0, (0.9, 0.2)))
        for task, up, score in (("t", True, scores[0]), ("u", False, scores[1]))
        for seed in range(2)
    ]
    (answer,) = contents.contents(made).answers
    assert answer.charts[0].titles[1] == "Gain from head to full, %"
    assert answer.charts[0].note == "Front: head, x, full."
    assert "100 % of the gain" in answer.verdict.answer


# Contents


def test_the_head_says_what_when_and_by_which_code(small: Page) -> None:
    terms = dict(re.findall(r"<dt>(.*?)</dt><dd><bdi>(.*?)</bdi>", small.text))
    assert terms["Cells"] == "33: 30 ok, 1 oom, 1 skipped, 1 timeout"
    assert terms["Methods"] == "7: bitfit, full, head, ia3, lora, pasta, prompt_tuning"
    assert terms["Run"] == "2026-01-01 00:00 to 00:01 UTC"
    assert terms["bench"] == "0.1.0"
    assert terms["Commit"] == "2: 0123456789ab, unknown"


def test_recipes_profiles_and_environment_are_counted(small: Page) -> None:
    recipes = small.csv("recipes").splitlines()
    assert recipes[0].startswith("method,method_params,task,learning_rate,")
    assert recipes[1].startswith("bitfit,,rt-polarity,0.002,")
    assert recipes[1].endswith(",3")
    assert len(recipes) == 11  # five methods on two tasks
    assert "cpu,dtype,float32,33" in small.csv("profiles").splitlines()
    environment = small.csv("environment").splitlines()
    assert {"versions.torch,2.13.0+cpu,31", "machine.cpu_cores_allowed,2,31", "code.dirty,no,31"} <= set(environment)


# The command


def test_the_command_writes_one_file_of_all_folders(tmp_path: Path, bench: Bench, small: Page) -> None:
    for at, each in enumerate(many.small()):
        Store(tmp_path / "ab"[at % 2]).write(each)
    out = tmp_path / "new" / "page.html"
    done = bench("report", tmp_path / "a", tmp_path / "b", "--out", out, "--json")
    assert done.code == 0
    assert out.read_bytes() == small.text.encode()
    assert json.loads(done.out) == {"file": str(out), "bytes": out.stat().st_size, "records": 33}
    assert sorted(path.name for path in out.parent.iterdir()) == ["page.html"]
    done = bench("report", tmp_path / "a", "--out", tmp_path)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith(f"Error: {tmp_path} cannot be written: ")


def test_trials_are_shown_on_request(tmp_path: Path, bench: Bench) -> None:
    Store(tmp_path / "results").write(record())
    header = "method,method_params,task,learning_rate,metric,validation_score,status\n"
    out = tmp_path / "page.html"
    for text, expected in (
        (f"{header}<b>,,t,0.01,f1,0.5,ok\n", 0), (f"{header}a,,t,fast,f1,0.5,ok\n", 2), ("method\na\n", 2),
    ):  # fmt: skip
        (tmp_path / "trials.csv").write_text(text, encoding="utf-8")
        done = bench("report", tmp_path / "results", "--tuning", tmp_path, "--out", out)
        assert done.code == expected, done.err
        assert done.code == 0 or "There are no trials of `tune`" in done.err
    assert "&lt;b&gt;" in out.read_text(encoding="utf-8")
    assert bench("report", tmp_path / "results", "--tuning", tmp_path / "no", "--out", out).code == 2
    (tmp_path / "trials.csv").write_text(f"{header}a,,t,0.01,f1,0.5,ok\n", encoding="utf-8")
    assert bench("publish", tmp_path / "results", "--tuning", tmp_path, "--to", tmp_path / "board").code == 0
    assert 'id="tuning"' in (tmp_path / "board" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["report", "publish", "leaderboard"])
def test_a_folder_without_records_is_one_sentence(tmp_path: Path, bench: Bench, command: str) -> None:
    options = {"report": ("--out", tmp_path / "out"), "publish": ("--to", tmp_path / "out"), "leaderboard": ()}[command]
    (tmp_path / "results").mkdir()
    done = bench(command, tmp_path / "results", *options)
    assert (done.code, done.out) == (3, "")
    assert done.err == f"There are no records in {tmp_path / 'results'}; `python -m bench run` writes some.\n"
    done = bench(command, tmp_path / "absent", *options)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "There is no results folder" in done.err
    assert not (tmp_path / "out").exists()

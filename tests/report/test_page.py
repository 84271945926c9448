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


def charts(records: list[Record], kind: str) -> list[Chart]:
    """The charts whose title has this word, a group after the other."""
    return [chart for group in contents.contents(records).groups for chart in group.charts if kind in chart.title]


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
    assert (len(whole.groups), len(found.groups)) == (3, 2)
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
    assert len(downloads) == len(small.of("table")) == 9
    assert {at["data-csv"] for at in downloads} <= set(ids)


# Charts


def points() -> list[Record]:
    """Three rows of one seed: none, a little and all of the parameters trained; the little one is the best."""
    return [
        record(method, 0, score, parameters=parameters(share_percent=share, trainable=round(share)))
        for method, score, share in (("none", 0.5, 0.0), ("little", 0.9, 0.02), ("all", 0.8, 100.0))
    ]


def test_a_share_of_zero_is_a_level_line_and_on_the_front() -> None:
    chart = charts(points(), "share")[0]
    assert chart.spec is not None
    data = chart.spec["datasets"]
    assert [(p["Method"], p["cost"], p["score"]) for p in data["levels"]] == [("none", 0.0, 0.5)]
    assert {p["Method"]: p["On the front"] for p in data["points"]} == {"little": "yes", "all": "no"}
    assert [(p["cost"], p["score"]) for p in data["front"]] == [(0.02, 0.9)]
    front = "Pareto front from the cheapest on: none (0.5000 at 0); little (0.9000 at 0.0200)."
    assert front in chart.description
    assert "level line, having none: none" in chart.description
    layers = [layer["encoding"].get("x", {}) for layer in chart.spec["layer"]]
    assert [x["scale"] for x in layers if "scale" in x] == [{"type": "log"}] * 3


def test_less_may_be_better() -> None:
    made = [each.model_copy(update={"higher_is_better": False}) for each in points()]
    assert "from the cheapest on: none (0.5000 at 0)." in charts(made, "share")[0].description


def test_a_row_without_a_cost_is_named_and_not_drawn() -> None:
    made = [*points(), record("unmeasured", 0, 0.7), failed("broken")]
    share, memory = charts(made, "share")[0], charts(made, "memory")[0]
    assert share.note.endswith("Not shown, since not known: broken, unmeasured.")
    assert share.spec is not None
    assert len(share.spec["datasets"]["points"]) == 2
    assert memory.spec is None  # no row has one


def test_colours_and_shapes_are_the_same_in_every_chart() -> None:
    looks: dict[str, set[tuple[str, str]]] = {}
    for chart in charts(many.small(), ""):
        for name, key in (("points", "Method"), ("levels", "Method"), ("ends", "method")):
            for point in chart.spec["datasets"].get(name, ()) if chart.spec else ():
                looks.setdefault(point[key], set()).add((point["colour"], point["shape"]))
    assert len(looks) == 5
    assert all(len(found) == 1 for found in looks.values())
    assert len(set.union(*looks.values())) == 5


def test_loss_curves_are_the_means_of_stretches() -> None:
    made = [record("a", seed, 0.5, losses=[1.0 + seed] * 60 + [3.0 + seed] * 60) for seed in (0, 1)]
    chart = charts([*made, failed("a", 2, losses=[9.0, 9.0])], "loss")[0]
    assert chart.spec is not None
    data = chart.spec["datasets"]
    assert [(len(curve["losses"]), curve["losses"][0], curve["losses"][-1]) for curve in data["seeds"]] == [
        (60, 1.0, 3.0), (60, 2.0, 4.0), (1, 9.0, 9.0)
    ]  # fmt: skip
    assert data["means"][0]["losses"] == [1.5] * 30 + [3.5] * 30
    assert data["means"][0]["steps"][:2] == [1.5, 3.5]
    assert data["means"][0]["of"] == "the mean of 2 seeds"
    assert [(end["step"], end["loss"]) for end in data["ends"]] == [(119.5, 3.5)]


def test_an_extra_test_has_charts_and_its_tasks_losses_are_shown_once() -> None:
    shares = [chart.description for chart in charts(many.small(), "share")]
    assert sum("us-address/messiest" in description for description in shares) == 1
    assert len(charts(many.small(), "loss")) == 2


@pytest.mark.parametrize("made", [failed("a", 0, "oom"), record("a", 0, None), record("a", 0, 0.5)])
def test_charts_without_data_say_so(made: Record) -> None:
    *scatter, losses = charts([made], "")
    assert [(chart.spec, chart.note[:27]) for chart in scatter] == [(None, "No score or cost is known. ")] * 3
    assert (losses.spec, losses.note) == (None, "No cell of this group recorded a loss.")


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

"""The page as text: the same for any order, of a bounded size, sealed, and with the charts that it should have."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import many
import pytest
from made import failed, parameters, record
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import BenchError, UsageError
from bench.grid import suites
from bench.leaderboard import aggregated, to_csv
from bench.records.record import Record
from bench.records.store import Store
from bench.report import contents, render


class Page(HTMLParser):
    """Tags in order, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self._text: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._text = [] if tag in ("script", "style") else None

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if self._text is not None:
            self.raw.append((*self.tags[-1], "".join(self._text)))
            self._text = None

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def charts(self) -> list[tuple[str, dict[str, Any]]]:
        """Description and specification of each chart."""
        names = [attributes["aria-label"] for attributes in self.of("div") if attributes.get("class") == "chart"]
        specs = [
            json.loads(text) for tag, attributes, text in self.raw if tag == "script" and list(attributes) == ["type"]
        ]
        return list(zip([str(name) for name in names], specs, strict=True))


def chart(records: list[Record], kind: str) -> tuple[str, dict[str, Any]]:
    return next(each for each in Page(render(records)).charts() if kind in each[0])


def test_the_order_of_records_does_not_matter_to_a_byte() -> None:
    records = many.small()
    expected = render(records)
    for seed in range(3):
        random.Random(seed).shuffle(records)
        assert render(records) == expected


def test_five_hundred_records_stay_below_ten_megabytes() -> None:
    page = render(many.lifelike(500))
    assert 1e6 < len(page.encode()) < 10e6
    most = max(len(curve["steps"]) for _, spec in Page(page).charts() for curve in spec["datasets"].get("seeds", ()))
    assert 20 < most <= 60


def test_a_page_of_very_many_holds_the_first_of_each_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    records = many.lifelike(150)
    whole = render(records)
    assert "These are" not in whole
    monkeypatch.setattr(contents, "MAX_ROWS", 20)
    monkeypatch.setattr(contents, "MAX_GROUPS", 2)
    monkeypatch.setattr(contents, "MAX_FAILURES", 1)
    text = unescape(render(records))
    all_rows = "`python -m bench leaderboard{} --out FILE.csv` writes all."
    assert f"These are the first 20 of 60 rows. {all_rows.format('')}" in text
    assert f"These are the first 20 of 270 rows. {all_rows.format(' --pairs')}" in text
    assert re.search(r"These are the first 20 of 18\d rows\. `python -m bench leaderboard --per-cell --out", text)
    assert re.search(r"These are the first 1 of \d rows\.", text)
    assert "Charts are of the first 2 of 6 groups." in text
    assert len(Page(whole).charts()) > 20
    assert len(Page(text).charts()) == 8
    assert to_csv(aggregated(records)) in [json.loads(raw) for _, of, raw in Page(text).raw if "id" in of]


def test_the_policy_names_every_script_and_style_and_allows_nothing_else() -> None:
    page = Page(render(many.small()))
    policy = next(str(meta["content"]) for meta in page.of("meta") if "http-equiv" in meta)
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    run = [text for tag, attributes, text in page.raw if tag == "script" and "type" not in attributes]
    style = [text for tag, _, text in page.raw if tag == "style"]
    digest = lambda text: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"  # noqa: E731
    assert rules["script-src"] == [digest(text) for text in run]
    assert rules["style-src"] == [digest(text) for text in style]
    assert (rules["default-src"], rules["connect-src"], rules["img-src"]) == (
        ["'none'"],
        ["'none'"],
        ["data:", "blob:"],
    )
    assert "unsafe" not in policy
    assert not any("style" in attributes for _, attributes in page.tags)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_nothing_points_elsewhere() -> None:
    page = Page(render(many.small()))
    links = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("href", "src")]
    assert links
    assert all(str(link).startswith(("#", "data:,")) for link in links)
    assert "://" not in " ".join(text for tag, at, text in page.raw if tag == "script" and "type" in at)


def test_headings_are_in_order_and_ids_unique() -> None:
    page = Page(render(many.small()))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [at["id"] for _, at in page.tags if "id" in at]
    assert len(ids) == len(set(ids))
    targets = {str(at["href"])[1:] for at in page.of("a") if str(at.get("href")).startswith("#")}
    assert targets <= set(ids)


# Charts


def points() -> list[Record]:
    """Three rows of one seed: none, a little and all of the parameters trained; the little one is the best."""
    return [
        record(method, 0, score, parameters=parameters(share_percent=share, trainable=round(share)))
        for method, score, share in (("none", 0.5, 0.0), ("little", 0.9, 0.02), ("all", 0.8, 100.0))
    ]


def test_a_share_of_zero_is_a_level_line_and_on_the_front() -> None:
    described, spec = chart(points(), "share")
    data = spec["datasets"]
    assert [(p["Method"], p["cost"], p["score"]) for p in data["levels"]] == [("none", 0.0, 0.5)]
    assert sorted(p["Method"] for p in data["points"]) == ["all", "little"]
    assert [(p["cost"], p["score"]) for p in data["front"]] == [(0.02, 0.9)]
    assert {p["Method"]: p["On the front"] for p in data["points"]} == {"little": "yes", "all": "no"}
    assert "Pareto front from the cheapest on: none (0.5000 at 0); little (0.9000 at 0.0200)." in described
    assert "level line, having none: none" in described
    scales = [layer["encoding"]["x"]["scale"] for layer in spec["layer"] if "scale" in layer["encoding"].get("x", {})]
    assert scales
    assert all(scale == {"type": "log"} for scale in scales)


def test_less_may_be_better() -> None:
    made = [each.model_copy(update={"higher_is_better": False}) for each in points()]
    assert "from the cheapest on: none (0.5000 at 0)." in chart(made, "share")[0]


def test_a_row_without_a_cost_is_named_and_not_drawn() -> None:
    page = render([*points(), record("unmeasured", 0, 0.7), failed("broken")])
    assert "Not shown, since not known: broken, unmeasured." in unescape(page)
    shares = next(spec for name, spec in Page(page).charts() if "share" in name)
    assert len(shares["datasets"]["points"]) == 2
    assert not [name for name, _ in Page(page).charts() if "memory" in name]  # nobody's is known


def test_colours_and_shapes_are_a_methods_own_in_every_chart() -> None:
    looks: dict[str, set[tuple[str, str]]] = {}
    for _, spec in Page(render(many.small())).charts():
        for name, key in (("points", "Method"), ("levels", "Method"), ("ends", "method")):
            for point in spec["datasets"].get(name, ()):
                looks.setdefault(point[key], set()).add((point["colour"], point["shape"]))
    assert len(looks) == 5
    assert all(len(found) == 1 for found in looks.values())
    assert len(set.union(*looks.values())) == 5


def test_loss_curves_are_the_means_of_stretches() -> None:
    made = [
        record("a", seed, 0.5, losses=[1.0 + seed] * 60 + [3.0 + seed] * 60, parameters=parameters()) for seed in (0, 1)
    ]
    made.append(failed("a", 2, losses=[9.0, 9.0]))
    _, spec = chart(made, "loss")
    data = spec["datasets"]
    assert [(len(curve["losses"]), curve["losses"][0], curve["losses"][-1]) for curve in data["seeds"]] == [
        (60, 1.0, 3.0), (60, 2.0, 4.0), (1, 9.0, 9.0)
    ]  # fmt: skip
    assert data["means"][0]["losses"] == [1.5] * 30 + [3.5] * 30
    assert data["means"][0]["steps"][:2] == [1.5, 3.5]
    assert data["means"][0]["of"] == "the mean of 2 seeds"
    assert [(end["step"], end["loss"]) for end in data["ends"]] == [(119.5, 3.5)]


def test_an_extra_test_has_charts_and_its_tasks_losses_are_shown_once() -> None:
    names = [name for name, _ in Page(render(many.small())).charts()]
    assert sum("us-address/messiest" in name for name in names) == 3
    assert sum("training loss" in name for name in names) == 2


# What there is to tell


def test_no_records_are_a_users_error() -> None:
    with pytest.raises(UsageError, match="no records"):
        render([])


@pytest.mark.parametrize("made", [[failed("a", 0, "oom")], [record("a", 0, None)], [record("a", 0, 0.5)]])
def test_little_is_told_as_it_is(made: list[Record]) -> None:
    page = render(made)
    assert Page(page).charts() == []
    assert "No score or cost is known." in page
    assert "No cell of this group recorded a loss." in page


def test_the_head_says_what_when_and_by_which_code() -> None:
    page = render(many.small())
    terms = dict(re.findall(r"<dt>(.*?)</dt><dd><bdi>(.*?)</bdi>", page))
    assert terms["Cells"] == "33: 30 ok, 1 oom, 1 skipped, 1 timeout"
    assert terms["Methods"] == "7: bitfit, full, head, ia3, lora, pasta, prompt_tuning"
    assert terms["Run"] == "2026-01-01 00:00 to 00:01 UTC"
    assert terms["bench"] == "0.1.0"
    assert terms["Commit"] == "2: 0123456789ab, unknown"


def test_pscp_is_there_when_it_is_asked_for_with_its_constants() -> None:
    constants = suites.load("quick").pscp
    assert constants is not None
    made = [each.model_copy(update={"inference_flops": 10**9}) for each in many.small()]
    page = Page(render(made, constants))
    assert str(constants) in unescape(render(made, constants))
    assert "pscp" not in render(made)
    csv = next(json.loads(text) for _, at, text in page.raw if at.get("id") == "leaderboard-csv")
    assert csv == to_csv(aggregated(made, constants))


# The command


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_the_command_writes_one_file_of_all_folders(tmp_path: Path) -> None:
    records = many.small()
    for folder, part in (("a", records[::2]), ("b", records[1::2])):
        for each in part:
            Store(tmp_path / folder).write(each)
    out = tmp_path / "new" / "page.html"
    done = run(tmp_path / "a", tmp_path / "b", "--out", out, "--json")
    assert done.exit_code == 0
    assert out.read_bytes() == render(records).encode()
    assert json.loads(done.stdout) == {"file": str(out), "bytes": out.stat().st_size, "records": len(records)}
    assert sorted(path.name for path in out.parent.iterdir()) == ["page.html"]
    assert "33 records" in run(tmp_path / "a", tmp_path / "b", "--out", out).stdout


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_records_is_one_sentence(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "results"
    if there:
        folder.mkdir()
    done = run(folder, "--out", tmp_path / "page.html")
    assert isinstance(done.exception, UsageError)
    assert str(folder) in str(done.exception)
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    Store(tmp_path).write(record())
    done = run(tmp_path, "--out", tmp_path)
    assert isinstance(done.exception, BenchError)
    assert "cannot be written" in str(done.exception)

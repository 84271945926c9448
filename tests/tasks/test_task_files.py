"""Reading task files: small ones made here, well-formed and not."""

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from made import unlike_any

from bench.errors import SourceError
from bench.plugins import registry
from bench.plugins.splits import Cut
from bench.plugins.task import Example, Task
from tasks.record_match import RecordMatch
from tasks.rt_polarity import RtPolarity
from tasks.us_address import UsAddress, bio


@pytest.mark.parametrize(
    ("parts", "tags"),
    [
        (("A",), ["B-A"]),
        (("A", "A"), ["B-A", "I-A"]),  # two adjacent equal tags are one entity: the file does not tell them apart
        (("A", "A", "B", "A"), ["B-A", "I-A", "B-B", "B-A"]),
        (("A", "B", "B", "B"), ["B-A", "B-B", "I-B", "I-B"]),
        ((), []),
    ],
)
def test_a_run_of_one_tag_is_one_entity(parts: tuple[str, ...], tags: list[str]) -> None:
    assert bio(parts) == tags


def task(name: str) -> Task:
    return registry.tasks().get(name).plugin()


def films(path: Path, rows: list[str], count: int = 2600) -> Path:
    """`count` sentences, the even ones rated 1.5 and the odd ones -0.5, and the rows given."""
    lines = [f"{i}\t{1.5 if i % 2 == 0 else -0.5}\t{unlike_any(i)}" for i in range(count)]
    path.write_text("\n".join(["id\tsentiment\ttext", *lines, *rows]) + "\n", encoding="utf-8")
    return path


def every(splits: dict[str, list[Example]]) -> dict[object, object]:
    return {e.text: e.label for examples in splits.values() for e in examples}


def test_film_sentences_are_read_as_they_stand(tmp_path: Path) -> None:
    rows = ['7\t-2.25\t"so bad', "8\t0.0\tneither", '9\t0.05\tit\'s "art" , they say\r', "10\t-0.0\tnor", ""]
    file = films(tmp_path / "films.txt", rows)
    polarity, intensity = every(RtPolarity().read(file)), every(task("rt-intensity").read(file))
    assert polarity['"so bad'] == 0  # a lone quote swallows nothing
    assert polarity['it\'s "art" , they say'] == 1
    assert not {"neither", "nor"} & polarity.keys()  # exactly zero is neither
    assert (len(polarity), len(intensity)) == (2602, 2604)
    assert (intensity['"so bad'], intensity["neither"]) == (-2.25, 0.0)
    assert (polarity[unlike_any(4)], polarity[unlike_any(5)]) == (1, 0)


def addresses(folder: Path, extra: str = "", messiest: str = "") -> Path:
    root = "".join(
        f"<AddressString><AddressNumber>{i}</AddressNumber> <StreetName>{unlike_any(i)}</StreetName> "
        f"<StreetName>Name</StreetName>"
        f"</AddressString>"
        for i in range(402)
    )
    for name, inside in (("labeled", root + extra), ("us50_messiest_manual_label", messiest)):
        file = folder / f"{name}.xml"
        file.write_text(f"<AddressCollection>{inside}</AddressCollection>", encoding="utf-8")
    return folder


def test_addresses_become_words_and_tags(tmp_path: Path) -> None:
    folder = addresses(
        tmp_path,
        "<AddressString><ZipCode>12345</ZipCode><PlaceName> </PlaceName><StateName>NY,</StateName></AddressString>",
    )
    addressed = UsAddress()
    splits = addressed.read(folder)
    found = every(splits)
    tags = {text: [addressed.labels[index] for index in label] for text, label in found.items()}  # type: ignore[attr-defined]
    assert tags[("7", unlike_any(7), "Name")] == ["B-AddressNumber", "B-StreetName", "I-StreetName"]
    assert tags[("12345", "NY,")] == ["B-ZipCode", "B-StateName"]  # a blank word is left out
    assert {name: len(split) for name, split in splits.items()} == {
        **{"train": 3, "validation": 200, "test": 200},
        "messiest": 0,
    }
    assert len(addressed.labels) == len(set(addressed.labels)) == 2 * 29
    assert addressed.num_labels == 58


def test_the_messiest_addresses_are_those_not_seen_in_the_first_file(tmp_path: Path) -> None:
    plain = UsAddress().read(addresses(tmp_path))
    # The second is address 5 of the first file with other tags, number and signs; the last is there twice.
    messiest = "".join(
        f"<AddressString><AddressNumber>{number}</AddressNumber><StreetName>{name}</StreetName></AddressString>"
        for number, name in ((1, "Messy"), (8, f"{unlike_any(5).upper()} Name,"), (2, "Hard"), (2, "hard"))
    )
    splits = UsAddress().read(addresses(tmp_path, messiest=messiest))
    assert {e.text for e in splits["messiest"]} == {("1", "Messy"), ("2", "Hard")}
    assert all(splits[name] == plain[name] for name in ("train", "validation", "test"))


def messages(path: Path, header: tuple[str, str], extra: list[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([*((str(int(i % 8 == 0)), f"message {unlike_any(i)}") for i in range(1505)), *extra])
    return path


def test_messages_keep_their_commas_quotes_and_lines(tmp_path: Path) -> None:
    odd = 'win "big", now\nor never'
    splits = task("sms-spam").read(
        messages(tmp_path / "sms.csv", ("spam", "text"), [("1", odd), ("0", f"MESSAGE  {unlike_any(3)}")])
    )
    found = every(splits)
    assert found[odd] == 1
    assert len(found) == 1506  # the last is message 3 once more
    assert (found[f"message {unlike_any(8)}"], found[f"message {unlike_any(9)}"]) == (1, 0)


def test_messages_that_stand_in_the_field_of_another_are_taken_apart(tmp_path: Path) -> None:
    swallowed = 'Gimme a few" was\nspam\tLast Chance!\nham\tA hamster is no label'
    found = every(task("sms-spam").read(messages(tmp_path / "sms.csv", ("spam", "text"), [("0", swallowed)])))
    assert {text: found[text] for text in found if "message" not in text} == {
        'Gimme a few" was': 0, "Last Chance!": 1, "A hamster is no label": 0,
    }  # fmt: skip


def test_the_messages_are_as_many_as_the_collections(embedded: Callable[[str], Path]) -> None:
    """5,574 messages, 747 of them spam (Almeida et al., 2011, table 1); what is equal to another is in no split."""
    splits = task("sms-spam").read(embedded(task("sms-spam").source))
    assert isinstance(splits, Cut)
    assert sum(map(len, splits.values())) + splits.removed == 5574
    assert max(len(text) for text in every(splits)) == 910


def test_questions_are_those_of_the_collections_training_set(embedded: Callable[[str], Path]) -> None:
    """5,452 with these numbers of each class, as published; the file's other lines are samples of them."""
    path = embedded(task("trec").source)
    lines = [line.split(":", 1) for line in path.read_text(encoding="latin-1").splitlines()][-5452:]
    published = {"ABBR": 86, "DESC": 1162, "ENTY": 1250, "HUM": 1223, "LOC": 835, "NUM": 896}
    assert Counter(label for label, _ in lines) == published
    found = every(task("trec").read(path))
    label_of = {question.split(" ", 1)[1]: list(published).index(label) for label, question in lines}
    assert found.items() <= label_of.items()
    assert {text.lower() for text in found} == {text.lower() for text in label_of}


def test_a_line_that_is_no_question_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_text("DESC:def What is a caldera ?\nWhat is this ?\n")
    with pytest.raises(ValueError, match="'What is this \\?' is not a question with its label"):
        task("trec").read(tmp_path / "questions.txt")


HEADER = "rec_id, given_name, surname, suburb, postcode"


def people(folder: Path, **rows: list[str]) -> Path:
    for name in ("2", "3", "4a", "4b"):
        lines = [HEADER, *rows.get(f"of_{name}", [])]
        (folder / f"dataset{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_record_pairs_by_hand(tmp_path: Path) -> None:
    """Anna twice, over the files 4a and 4b; of two with her surname the stranger is the one more like her."""
    folder = people(
        tmp_path,
        of_4a=["rec-1-org, anna, smith, leeds, 1000", "rec-2-org, zoe, smith, york, 2000"],
        of_4b=["rec-1-dup-0, ana, smith, leeds, 1000"],
        of_2=["rec-1-org, anne, smith, leeds, 3000", "rec-5-org, ana, jones, leeds, 4000"],
    )
    splits = RecordMatch().read(folder)
    assert {name: len(split) for name, split in splits.items()} == {"test": 2, "validation": 0, "train": 0}
    assert {(e.text, e.pair, e.label) for e in splits["test"]} == {
        ("ana smith leeds", "anna smith leeds", 1),
        ("ana smith leeds", "anne smith leeds", 0),  # rec-1 of another data set is another person
    }


def test_a_record_without_a_similar_stranger_gives_no_pair_and_a_wrong_id_is_an_error(tmp_path: Path) -> None:
    folder = people(tmp_path, of_2=["rec-1-org, anna, smith, leeds, 1", "rec-1-dup-0, ana, smith, leeds, 1"])
    assert RecordMatch().read(folder) == {"test": [], "validation": [], "train": []}
    with pytest.raises(ValueError, match=r"dataset3.csv: 'person-1' is not a record id"):
        RecordMatch().read(people(tmp_path, of_3=["person-1, anna, smith, leeds, 1"]))


def test_a_folder_without_parquet_files_is_a_users_error(tmp_path: Path) -> None:
    for name in ("glue-mrpc", "conll2003"):
        with pytest.raises(SourceError, match="no file of the split 'train'"):
            task(name).read(tmp_path)


# The columns, label names and splits of nyu-mll/glue, as its dataset card lists them.
GLUE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "cola": (("sentence",), ("unacceptable", "acceptable")),
    "sst2": (("sentence",), ("negative", "positive")),
    "mrpc": (("sentence1", "sentence2"), ("not_equivalent", "equivalent")),
    "qqp": (("question1", "question2"), ("not_duplicate", "duplicate")),
    "stsb": (("sentence1", "sentence2"), ()),
    "mnli": (("premise", "hypothesis"), ("entailment", "neutral", "contradiction")),
    "qnli": (("question", "sentence"), ("entailment", "not_entailment")),
    "rte": (("sentence1", "sentence2"), ("entailment", "not_entailment")),
    "wnli": (("sentence1", "sentence2"), ("not_entailment", "entailment")),
}
HELD_OUT = dict(zip(GLUE, (1000, 1000, 400, 4000, 500, 4000, 2000, 250, 70), strict=True))  # examples for choosing


def glue_folder(folder: Path, task: str) -> Path:
    """One task's folder as the hub has it: rows numbered through, label types as there, test labels hidden (-1)."""
    from datasets import ClassLabel, Dataset, Features, Value

    columns, labels = GLUE[task]
    kinds = ("_matched", "_mismatched") if task == "mnli" else ("",)
    others = {f"{split}{kind}": 12 for split in ("validation", "test") for kind in kinds}
    label: object = ClassLabel(names=list(labels)) if labels else Value("float32")
    features = Features({**{name: Value("string") for name in columns}, "label": label, "idx": Value("int32")})
    start = 0
    for split, count in {"train": HELD_OUT[task] + 10, **others}.items():
        known = [at % len(labels) if labels else at % 21 / 4 for at in range(count)]
        rows = {name: [f"{name} {start + at}" for at in range(count)] for name in columns}
        rows |= {"idx": list(range(count)), "label": [-1] * count if split.startswith("test") else known}
        # In either layout of the hub.
        file = folder / (f"{split}/0000.parquet" if task == "wnli" else f"{split}-00000-of-00001.parquet")
        file.parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_dict(rows, features=features).to_parquet(str(file))
        start += count
    return folder


@pytest.mark.parametrize("name", GLUE)
def test_a_glue_task_is_read_as_the_hub_has_it(tmp_path: Path, name: str) -> None:
    columns, labels = GLUE[name]
    glue = task(f"glue-{name}")
    splits = glue.read(glue_folder(tmp_path, name))
    held_out = HELD_OUT[name]
    extra = {"mismatched": 12} if name == "mnli" else {}
    sizes = {"train": 10, "validation": held_out, "test": 12, **extra}
    assert {split: len(examples) for split, examples in splits.items()} == sizes
    assert (glue.labels, glue.pair, tuple(glue.extra_tests)) == (labels, len(columns) == 2, tuple(extra))
    ranges = {"test": range(held_out + 10, held_out + 22), "mismatched": range(held_out + 22, held_out + 34)}
    for split, examples in splits.items():
        numbers = [int(example.text.split()[1]) for example in examples]
        assert set(numbers) <= set(ranges.get(split, range(held_out + 10)))  # the official validation splits are tests
        assert numbers != sorted(numbers) or len(numbers) < 3
        for number, example in zip(numbers, examples, strict=True):
            row = number if number < held_out + 10 else (number - held_out - 10) % 12
            label = row % len(labels) if labels else row % 21 / 4
            texts = [f"{column} {number}" for column in columns]
            assert example == Example(texts[0], label, texts[1] if len(texts) == 2 else None)
            assert type(example.label) is (int if labels else float)


def test_train_of_mnli_holds_no_input_of_either_test(tmp_path: Path) -> None:
    from datasets import Dataset

    folder = glue_folder(tmp_path, "mnli")
    file = folder / "validation_mismatched-00000-of-00001.parquet"
    found = Dataset.from_parquet(str(file), keep_in_memory=True)
    rows = found.to_list()
    rows[0].update(premise="Premise  3", hypothesis="hypothesis 3")  # one of train, spelt otherwise
    Dataset.from_list(rows, features=found.features).to_parquet(str(file))
    splits = task("glue-mnli").read(folder)
    assert len(splits["mismatched"]) == 12
    assert (len(splits["train"]), len(splits["validation"])) == (9, 4000)
    assert not any(example.text == "premise 3" for split in ("train", "validation") for example in splits[split])

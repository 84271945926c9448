"""Reading task files: small ones made here, well-formed and not."""

import csv
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.errors import SourceError
from bench.task import Example
from tasks.conll2003 import Conll2003
from tasks.glue_mrpc import GlueMrpc
from tasks.record_match import RecordMatch
from tasks.rt_intensity import RtIntensity
from tasks.rt_polarity import RtPolarity
from tasks.sms_spam import SmsSpam
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


def films(path: Path, rows: list[str], count: int = 2600) -> Path:
    """`count` sentences, the even ones rated 1.5 and the odd ones -0.5, and the rows given."""
    lines = [f"{i}\t{1.5 if i % 2 == 0 else -0.5}\tfilm number {i}" for i in range(count)]
    path.write_text("\n".join(["id\trating\ttext", *lines, *rows]) + "\n", encoding="utf-8")
    return path


def every(splits: dict[str, list[Example]]) -> dict[object, object]:
    return {e.text: e.label for examples in splits.values() for e in examples}


def test_film_sentences_are_read_as_they_stand(tmp_path: Path) -> None:
    rows = ['7\t-2.25\t"so bad', "8\t0.0\tneither", '9\t0.05\tit\'s "art" , they say\r', "10\t-0.0\tnor", ""]
    file = films(tmp_path / "films.txt", rows)
    polarity, intensity = every(RtPolarity().read(file)), every(RtIntensity().read(file))
    assert polarity['"so bad'] == 0  # a lone quote swallows nothing
    assert polarity['it\'s "art" , they say'] == 1
    assert not {"neither", "nor"} & polarity.keys()  # exactly zero is neither
    assert (len(polarity), len(intensity)) == (2602, 2604)
    assert (intensity['"so bad'], intensity["neither"]) == (-2.25, 0.0)
    assert (polarity["film number 4"], polarity["film number 5"]) == (1, 0)


@pytest.mark.parametrize("row", ["1\t1.0", "1\tgood\ta film", "1\t1.0\ta\tfilm", "only text"])
def test_a_film_row_of_another_shape_is_an_error(tmp_path: Path, row: str) -> None:
    file = films(tmp_path / "films.txt", [row])
    for task in (RtPolarity(), RtIntensity()):
        with pytest.raises(ValueError, match=r"unpack|convert"):
            task.read(file)


def test_too_few_films_are_an_error(tmp_path: Path) -> None:
    file = films(tmp_path / "films.txt", [], count=2566)
    with pytest.raises(ValueError, match="2566 distinct examples cannot give 1066 \\+ 1500"):
        RtPolarity().read(file)
    assert len(RtPolarity().read(films(file, [], count=2567))["train"]) == 1


def addresses(path: Path, extra: str = "") -> Path:
    root = "".join(
        f"<AddressString><AddressNumber>{i}</AddressNumber> <StreetName>Long</StreetName> <StreetName>Name</StreetName>"
        f"</AddressString>"
        for i in range(402)
    )
    path.write_text(f"<AddressCollection>{root}{extra}</AddressCollection>", encoding="utf-8")
    return path


def test_addresses_become_words_and_tags(tmp_path: Path) -> None:
    file = addresses(
        tmp_path / "labeled.xml",
        "<AddressString><ZipCode>12345</ZipCode><PlaceName> </PlaceName><StateName>NY,</StateName></AddressString>",
    )
    task = UsAddress()
    splits = task.read(file)
    found = every(splits)
    tags = {text: [task.labels[index] for index in label] for text, label in found.items()}  # type: ignore[attr-defined]
    assert tags[("7", "Long", "Name")] == ["B-AddressNumber", "B-StreetName", "I-StreetName"]
    assert tags[("12345", "NY,")] == ["B-ZipCode", "B-StateName"]  # a blank word is left out
    assert {name: len(split) for name, split in splits.items()} == {"train": 3, "validation": 200, "test": 200}
    assert len(task.labels) == len(set(task.labels)) == 2 * 29
    assert task.num_labels == 58


@pytest.mark.parametrize(
    ("extra", "fault"),
    [
        ("<AddressString><Nonsense>1</Nonsense></AddressString>", "not in"),
        ("<AddressString></AddressString>", "unpack"),
    ],
)
def test_an_address_of_another_shape_is_an_error(tmp_path: Path, extra: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        UsAddress().read(addresses(tmp_path / "labeled.xml", extra))


def test_a_damaged_address_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ElementTree.ParseError):
        UsAddress().read(addresses(tmp_path / "labeled.xml", "<AddressString>"))


def messages(path: Path, header: tuple[str, str], extra: list[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([*((str(int(i % 8 == 0)), f"message {i}") for i in range(1505)), *extra])
    return path


def test_messages_keep_their_commas_quotes_and_lines(tmp_path: Path) -> None:
    odd = 'win "big", now\nor never'
    splits = SmsSpam().read(messages(tmp_path / "sms.csv", ("spam", "text"), [("1", odd), ("0", "MESSAGE 3!!")]))
    found = every(splits)
    assert found[odd] == 1
    assert len(found) == 1506  # "MESSAGE 3!!" is message 3 once more
    assert (found["message 8"], found["message 9"]) == (1, 0)


def test_messages_of_another_shape_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="text"):
        SmsSpam().read(messages(tmp_path / "sms.csv", ("spam", "message"), []))
    with pytest.raises(ValueError, match="ham"):
        SmsSpam().read(messages(tmp_path / "sms.csv", ("spam", "text"), [("ham", "hello")]))


HEADER = "rec_id, given_name, surname, suburb, postcode"


def people(folder: Path, rows: dict[str, list[str]]) -> Path:
    folder.mkdir(exist_ok=True)
    for name in ("2", "3", "4a", "4b"):
        lines = [HEADER, *rows.get(name, [])]
        (folder / f"dataset{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_record_pairs_by_hand(tmp_path: Path) -> None:
    """Anna twice, over the files 4a and 4b; of two with her surname the stranger is the one more like her."""
    folder = people(
        tmp_path / "febrl",
        {
            "4a": ["rec-1-org, anna, smith, leeds, 1000", "rec-2-org, zoe, smith, york, 2000"],
            "4b": ["rec-1-dup-0, ana, smith, leeds, 1000"],
            "2": ["rec-1-org, anne, smith, leeds, 3000", "rec-5-org, ana, jones, leeds, 4000"],
        },
    )
    splits = RecordMatch().read(folder)
    assert {name: len(split) for name, split in splits.items()} == {"test": 2, "validation": 0, "train": 0}
    assert {(e.text, e.pair, e.label) for e in splits["test"]} == {
        ("ana smith leeds", "anna smith leeds", 1),
        ("ana smith leeds", "anne smith leeds", 0),  # rec-1 of another data set is another person
    }


def test_a_record_without_a_stranger_like_it_gives_no_pair(tmp_path: Path) -> None:
    folder = people(
        tmp_path / "febrl", {"2": ["rec-1-org, anna, smith, leeds, 1", "rec-1-dup-0, ana, smith, leeds, 1"]}
    )
    assert RecordMatch().read(folder) == {"test": [], "validation": [], "train": []}


def test_a_wrong_record_id_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dataset3.csv: 'person-1' is not a record id"):
        RecordMatch().read(people(tmp_path / "febrl", {"3": ["person-1, anna, smith, leeds, 1"]}))


def test_a_folder_without_parquet_files_is_the_users_to_mend(tmp_path: Path) -> None:
    for task in (GlueMrpc(), Conll2003()):
        with pytest.raises(SourceError, match="no parquet file of the split 'train'"):
            task.read(tmp_path)


@pytest.mark.parametrize("layout", ["{}-00000-of-00001.parquet", "{}/0000.parquet"])
def test_hub_files_are_read_in_either_layout(tmp_path: Path, layout: str) -> None:
    import pandas as pd

    for split, start in (("train", 0), ("validation", 1000), ("test", 2000)):
        file = tmp_path / layout.format(split)
        file.parent.mkdir(exist_ok=True)
        pd.DataFrame(
            [
                {"sentence1": f"one {i}", "sentence2": f"two {i}", "label": i % 2, "idx": i}
                for i in range(start, start + 410)
            ]
        ).to_parquet(file)
    splits = GlueMrpc().read(tmp_path)
    assert {name: len(split) for name, split in splits.items()} == {"train": 10, "validation": 400, "test": 410}
    assert {e.text for e in splits["test"]} == {f"one {i}" for i in range(1000, 1410)}  # the official validation split
    assert all(e == Example(e.text, int(e.text.split()[1]) % 2, e.text.replace("one", "two")) for e in splits["train"])

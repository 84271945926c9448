"""us-address: name the parts of a US postal address, word by word; shaped like named-entity recognition."""

from pathlib import Path
from xml.etree import ElementTree

from bench.plugins import Example, Splits, Task, cut
from bench.plugins.splits import distinct, identity, shuffled, unlike

PARTS = (
    "AddressNumber", "AddressNumberPrefix", "AddressNumberSuffix", "BuildingName", "CornerOf", "CountryName",
    "IntersectionSeparator", "LandmarkName", "NotAddress", "OccupancyIdentifier", "OccupancyType", "PlaceName",
    "Recipient", "StateName", "StreetName", "StreetNamePostDirectional", "StreetNamePostModifier",
    "StreetNamePostType", "StreetNamePreDirectional", "StreetNamePreModifier", "StreetNamePreType",
    "SubaddressIdentifier", "SubaddressType", "USPSBoxGroupID", "USPSBoxGroupType", "USPSBoxID", "USPSBoxType",
    "ZipCode", "ZipPlus4",
)  # fmt: skip


class UsAddress(Task):
    name = "us-address"
    summary = "tag the parts of a US address, 29 kinds (entity F1)"
    kind = "token-classification"
    source = (
        "package:usaddress==0.5.16!/training#sha256=f7e614e2489c159cf85be1b6f86edbfaf329dbeedef4d002a025757afd1ec6c6"
    )
    labels = tuple(f"{prefix}-{part}" for part in PARTS for prefix in "BI")
    metric = "entity_f1"
    extra_tests = ("messiest",)
    citation = "usaddress, DataMade"

    def read(self, path: Path) -> Splits:
        labeled, messiest = map(self._examples, (path / "labeled.xml", path / "us50_messiest_manual_label.xml"))
        # Of the 63 messiest one stands there twice, and 23 have a near-duplicate in the first file: 39 are left.
        unseen = unlike(distinct(messiest, identity), labeled)
        splits = cut(labeled, salt=self.name, validation=200, test=200)
        splits["messiest"] = shuffled(unseen, identity, self.name)
        return splits

    def _examples(self, file: Path) -> list[Example]:
        # ElementTree resolves no external entities, and expat itself caps entity expansion.
        return [self._example(address) for address in ElementTree.parse(file).getroot()]

    def _example(self, address: ElementTree.Element) -> Example:
        tagged = [(word.text or "", word.tag) for word in address]
        words, parts = zip(*((word, part) for word, part in tagged if word.strip()), strict=True)
        return Example(words, tuple(map(self.labels.index, bio(parts))))


def bio(parts: tuple[str, ...]) -> list[str]:
    """Word-level tags as BIO: a run of words with one tag is one entity.

    >>> bio(("StreetName", "StreetName", "ZipCode"))
    ['B-StreetName', 'I-StreetName', 'B-ZipCode']
    """
    return [f"{'I' if at and parts[at - 1] == part else 'B'}-{part}" for at, part in enumerate(parts)]

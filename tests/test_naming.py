"""Published file names."""

import pandas as pd
import pytest

from covidcnn.data.facts import COUNTS, parse_name


@pytest.mark.parametrize(("stem", "series", "number", "subtype", "patient"), [
    ("IM-0115-0001", "IM", 115, "normal", "IM-115"),
    ("IM-0666-0001-0002", "IM", 666, "normal", "IM-666"),
    ("NORMAL2-IM-1427-0001", "NORMAL2-IM", 1427, "normal", "NORMAL2-IM-1427"),
    ("NORMAL2-IM-0840-0001-0002", "NORMAL2-IM", 840, "normal", "NORMAL2-IM-840"),
    ("person1_bacteria_1", "bacteria", 1, "bacteria", "bacteria-1"),
    ("person1_virus_6", "virus", 1, "virus", "virus-1"),
    ("person447_virus_921_1", "virus", 447, "virus", "virus-447"),
])
def test_published_name_gives_series_number_subtype_and_patient(stem, series, number, subtype, patient):
    name = parse_name(stem)
    assert (name.series, name.number, name.subtype, name.patient) == (series, number, subtype, patient)


@pytest.mark.parametrize("stem", [
    "", "xray", "IM-0115", "IM-0115-0001.jpeg", "XIM-0115-0001", "IM-0115-0001-0001-0001", "IM-A-0001",
    "NORMAL-IM-0115-0001", "person1_fungus_1", "person_bacteria_1", "person1_bacteria", "person1_bacteria_1 copy",
    "IM-0115-0001\n",
])
def test_other_name_is_not_taken_for_a_published_one(stem):
    assert parse_name(stem) is None


def test_same_number_in_two_series_is_two_patients():
    names = [parse_name(stem) for stem in ("IM-0007-0001", "NORMAL2-IM-0007-0001", "person7_virus_1",
                                           "person7_bacteria_1")]
    assert len({name.patient for name in names}) == 4


@pytest.fixture(scope="module")
def manifest(shared_images):
    table = pd.read_csv(shared_images / "manifest.csv")
    return table.assign(name=[parse_name(file.removesuffix(".jpeg")) for file in table["file"]])


def test_every_published_name_parses(manifest):
    assert len(manifest) == 5856
    assert manifest["name"].notna().all()
    assert manifest["file"].str.fullmatch(r"(NORMAL2-)?IM-\d+-\d+-\d+\.jpeg").sum() == 143


def test_published_names_give_the_published_counts_of_each_subtype(manifest):
    subtype = manifest["name"].map(lambda name: name.subtype)
    assert manifest.groupby([manifest["split"], subtype]).size().to_dict() == COUNTS


def test_published_splits_share_no_patient_key_but_170_bare_numbers(manifest):
    manifest = manifest.assign(patient=manifest["name"].map(lambda name: name.patient),
                               number=manifest["name"].map(lambda name: name.number))
    assert manifest.groupby("patient")["split"].nunique().max() == 1
    pneumonia = manifest[manifest["class"] == "PNEUMONIA"]
    assert (pneumonia.groupby("number")["split"].nunique() > 1).sum() == 170
    train = manifest[manifest["split"] == "train"].groupby("class")["patient"].nunique()
    assert train.to_dict() == {"NORMAL": 1211, "PNEUMONIA": 2443}

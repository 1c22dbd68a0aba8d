"""Roles of films: train, validation, test."""

import pandas as pd
import pytest

from covidcnn.data.catalogue import index_folder
from covidcnn.data.splits import (
    VALIDATION_DESIGNS,
    assign_roles,
    draw_by_patient,
    draw_shares,
    hash_fraction,
    split_key,
)
from covidcnn.errors import DataError


def make_films(patients=1000, films_each=3, first=1, split="train"):
    """Films of numbered patients; every fourth patient is NORMAL."""
    rows = []
    for number in range(first, first + patients):
        series = "IM" if number % 4 == 0 else "virus"
        for film in range(films_each):
            label = "NORMAL" if series == "IM" else "PNEUMONIA"
            rows.append({"path": f"{split}/{label}/{series}-{number}-{film}", "split": split, "label": label,
                         "series": series, "number": number, "patient": f"{series}-{number}"})
    return pd.DataFrame(rows)


CUT_DESIGNS = [design for design in VALIDATION_DESIGNS if design != "published"]


def roles_of(films, **options):
    return assign_roles(films, **options).set_index("path")["role"]


def sides_by(films, key, **options):
    """How many roles the films of each key have."""
    return assign_roles(films, **options).groupby(key)["role"].nunique()


def test_published_design_takes_the_splits_as_they_are(tiny_tree):
    films = assign_roles(index_folder(tiny_tree).films, "published")
    expected = films["split"].map({"train": "train", "val": "validation", "test": "test"})
    assert films["role"].tolist() == expected.tolist()


@pytest.mark.parametrize("design", CUT_DESIGNS)
def test_cut_designs_touch_only_train_and_leave_val_unused(tiny_tree, design):
    films = assign_roles(index_folder(tiny_tree).films, design, fraction=0.3)
    assert films.groupby("split")["role"].unique().map(set).to_dict() == {
        "train": {"train", "validation"}, "val": {"unused"}, "test": {"test"}}


@pytest.mark.parametrize("design", CUT_DESIGNS)
def test_folder_without_splits_is_cut_into_train_and_validation(design):
    assert set(roles_of(make_films(split="all"), design=design)) == {"train", "validation"}


def test_published_design_without_val_folder_is_refused(refused):
    with refused("validation by published", "choose another design", error=DataError):
        assign_roles(make_films(split="all"), "published")


@pytest.mark.parametrize("design", CUT_DESIGNS)
def test_about_the_asked_share_goes_to_validation(design):
    share = (roles_of(make_films(4000), design=design, fraction=0.2) == "validation").mean()
    assert 0.15 < share < 0.25


def test_patient_design_never_parts_a_patient():
    assert sides_by(make_films(), "patient", design="patient").max() == 1


def test_image_design_parts_patients():
    assert (sides_by(make_films(), "patient", design="image") > 1).sum() > 100


def test_block_design_keeps_neighbouring_numbers_of_a_series_together():
    films = make_films()
    block = films["series"] + (films["number"] // 50).astype(str)
    assert sides_by(films, block, design="block").max() == 1
    assert sides_by(films, block, design="patient").max() == 2


def test_same_numbers_of_two_series_are_different_blocks():
    keys = split_key(make_films(49), "block")
    assert sorted(keys.unique()) == ["IM-block-0", "virus-block-0"]


def test_block_of_a_film_of_unknown_name_is_its_patient():
    films = make_films(2).assign(series="", number=-1)
    assert split_key(films, "block").tolist() == films["patient"].tolist()


@pytest.mark.parametrize("design", CUT_DESIGNS)
def test_no_film_changes_sides_when_films_are_added_or_shuffled(design):
    before = roles_of(make_films(500), design=design)
    more = pd.concat([make_films(300, first=2001), make_films(500)], ignore_index=True).sample(frac=1, random_state=0)
    pd.testing.assert_series_equal(roles_of(more, design=design)[before.index], before)


@pytest.mark.parametrize("design", CUT_DESIGNS)
def test_seed_changes_the_cut_and_repeats_it(design):
    films = make_films()
    assert roles_of(films, design=design, seed=1).equals(roles_of(films, design=design, seed=1))
    assert not roles_of(films, design=design, seed=1).equals(roles_of(films, design=design, seed=2))


@pytest.mark.parametrize("design", CUT_DESIGNS)
def test_small_set_still_has_both_classes_in_validation(design):
    films = assign_roles(make_films(120, films_each=1), design, fraction=1e-9)
    assert set(films.loc[films["role"] == "validation", "label"]) == {"NORMAL", "PNEUMONIA"}


def test_cut_that_leaves_nothing_to_train_on_is_refused(refused):
    with refused("validation by patient", "NORMAL", "train", "give more images", error=DataError):
        assign_roles(make_films(4), "patient")


def test_unknown_design_is_refused_with_the_known_ones(refused):
    with refused("'fold'", *VALIDATION_DESIGNS, error=DataError):
        assign_roles(make_films(4), "fold")


def test_assigning_roles_leaves_the_films_untouched():
    films = make_films(50)
    before = films.copy()
    assign_roles(films, "image")
    pd.testing.assert_frame_equal(films, before)


def test_hash_is_the_same_on_every_machine_and_uniform():
    # SHA-256 of 'validation:0:IM-115', its first 8 bytes over 2 ** 64.
    assert hash_fraction("IM-115", 0, "validation") == 0.1988678157807147
    values = pd.Series([hash_fraction(str(key), 0, "draw") for key in range(2000)])
    assert values.between(0, 1, inclusive="left").all()
    assert abs(values.mean() - 0.5) < 0.03


# ---------------------------------------------------------------- drawing

def test_draw_of_everything_changes_nothing():
    films = make_films(20)
    for number in (None, 60, 1000):
        pd.testing.assert_frame_equal(draw_by_patient(films, number), films)


def test_draw_takes_whole_patients_and_keeps_the_class_shares():
    films = make_films(1000)
    drawn = draw_by_patient(films, 600)
    assert drawn.groupby("patient").size().eq(3).all()
    assert drawn["label"].value_counts().to_dict() == {"PNEUMONIA": 450, "NORMAL": 150}


def test_draw_keeps_to_its_number_with_patients_of_many_films():
    films = pd.concat([make_films(100, films_each=1), make_films(20, films_each=17, first=500)],
                      ignore_index=True)
    drawn = draw_by_patient(films, 50)
    assert 40 <= len(drawn) <= 50


def test_draw_keeps_to_its_number_when_a_patient_has_films_of_both_classes():
    # A CSV of patients allows it: one child, well once and ill often, too often for a share of 45 films.
    films = make_films(200, films_each=1)
    ill = films.index[films["label"] == "PNEUMONIA"][:60]
    well = films.index[films["label"] == "NORMAL"][:1]
    films.loc[well.append(ill), "patient"] = "one child"
    for seed in range(20):
        assert len(draw_by_patient(films, 60, seed)) <= 60


def test_larger_draw_contains_a_smaller_one():
    films = make_films(1000, films_each=1)
    smaller, larger = (set(draw_by_patient(films, number)["path"]) for number in (100, 300))
    assert smaller < larger


def test_draw_follows_its_seed():
    films = make_films(500)
    first, again, other = (draw_by_patient(films, 300, seed)["path"].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_draw_is_independent_of_the_cut():
    # With one hash for both, the first films drawn would be just those cut for validation.
    films = assign_roles(make_films(4000, films_each=1), "patient", fraction=0.15, seed=0)
    drawn = draw_by_patient(films, 1000, seed=0)
    assert 0.10 < (drawn["role"] == "validation").mean() < 0.20


@pytest.mark.slow
def test_published_cuts_part_patients_only_by_image(published):
    train = published.films[published.films["split"] == "train"]
    parted = {design: (sides_by(train, "patient", design=design) > 1).sum() for design in CUT_DESIGNS}
    assert parted["patient"] == parted["block"] == 0
    assert parted["image"] > 100


@pytest.mark.parametrize("share", [0.1, 0.5, 0.74])
def test_draw_of_given_shares_is_exact_and_takes_whole_patients(published, share):
    training = published.films[published.films["split"] == "train"]
    drawn = draw_shares(training, 1500, share)
    assert (drawn["label"] == "NORMAL").sum() == round(1500 * share)
    assert len(drawn) == 1500
    assert not set(drawn["patient"]) & set(training["patient"][~training.index.isin(drawn.index)])


def test_draw_of_more_films_than_there_are_is_refused(published, refused):
    training = published.films[published.films["split"] == "train"]
    with refused("1480 NORMAL", "1341", error=DataError):
        draw_shares(training, 2000, 0.74)

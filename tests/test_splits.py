"""Roles of images: train, validation, test."""

import pandas as pd
import pytest

from covidcnn.data.index import index_folder
from covidcnn.data.splits import (
    VALIDATION_DESIGNS,
    assign_roles,
    draw_by_patient,
    draw_shares,
    hash_fraction,
    split_key,
)
from covidcnn.errors import DataError


def make_images(patients=1000, images_each=3, first=1, split="train"):
    """Images of numbered patients; every fourth patient is NORMAL."""
    rows = []
    for number in range(first, first + patients):
        series = "IM" if number % 4 == 0 else "virus"
        for image in range(images_each):
            label = "NORMAL" if series == "IM" else "PNEUMONIA"
            rows.append({"path": f"{split}/{label}/{series}-{number}-{image}", "split": split, "label": label,
                         "series": series, "number": number, "patient": f"{series}-{number}"})
    return pd.DataFrame(rows)


CUT_DESIGNS = [design for design in VALIDATION_DESIGNS if design != "published"]


def roles_of(images, **options):
    return assign_roles(images, **options).set_index("path")["role"]


def sides_by(images, key, **options):
    """How many roles the images of each key have."""
    return assign_roles(images, **options).groupby(key)["role"].nunique()


def test_published_design_takes_the_splits_as_they_are(tiny_tree):
    images = assign_roles(index_folder(tiny_tree).images, "published")
    expected = images["split"].map({"train": "train", "val": "validation", "test": "test"})
    assert images["role"].tolist() == expected.tolist()


@pytest.mark.parametrize("design", CUT_DESIGNS)
def test_cut_designs_touch_only_train_and_leave_val_unused(tiny_tree, design):
    images = assign_roles(index_folder(tiny_tree).images, design, fraction=0.3)
    assert images.groupby("split")["role"].unique().map(set).to_dict() == {
        "train": {"train", "validation"}, "val": {"unused"}, "test": {"test"}}


@pytest.mark.parametrize("design", CUT_DESIGNS)
def test_folder_without_splits_is_cut_into_train_and_validation(design):
    assert set(roles_of(make_images(split="all"), design=design)) == {"train", "validation"}


def test_published_design_without_val_folder_is_refused(refused):
    with refused("design 'published'", "choose another design", error=DataError):
        assign_roles(make_images(split="all"), "published")


@pytest.mark.parametrize("design", CUT_DESIGNS)
def test_about_the_asked_share_goes_to_validation(design):
    share = (roles_of(make_images(4000), design=design, fraction=0.2) == "validation").mean()
    assert 0.15 < share < 0.25


def test_patient_design_never_parts_a_patient():
    assert sides_by(make_images(), "patient", design="patient").max() == 1


def test_image_design_parts_patients():
    assert (sides_by(make_images(), "patient", design="image") > 1).sum() > 100


def test_block_design_keeps_neighbouring_numbers_of_a_series_together():
    images = make_images()
    block = images["series"] + (images["number"] // 50).astype(str)
    assert sides_by(images, block, design="block").max() == 1
    assert sides_by(images, block, design="patient").max() == 2


def test_same_numbers_of_two_series_are_different_blocks():
    keys = split_key(make_images(49), "block")
    assert sorted(keys.unique()) == ["IM-block-0", "virus-block-0"]


def test_block_of_a_image_of_unknown_name_is_its_patient():
    images = make_images(2).assign(series="", number=-1)
    assert split_key(images, "block").tolist() == images["patient"].tolist()


@pytest.mark.parametrize("design", CUT_DESIGNS)
def test_no_image_changes_sides_when_images_are_added_or_shuffled(design):
    before = roles_of(make_images(500), design=design)
    more = pd.concat([make_images(300, first=2001), make_images(500)], ignore_index=True).sample(frac=1, random_state=0)
    pd.testing.assert_series_equal(roles_of(more, design=design)[before.index], before)


@pytest.mark.parametrize("design", CUT_DESIGNS)
def test_seed_changes_the_cut_and_repeats_it(design):
    images = make_images()
    assert roles_of(images, design=design, seed=1).equals(roles_of(images, design=design, seed=1))
    assert not roles_of(images, design=design, seed=1).equals(roles_of(images, design=design, seed=2))


@pytest.mark.parametrize("design", CUT_DESIGNS)
def test_small_set_still_has_both_classes_in_validation(design):
    images = assign_roles(make_images(120, images_each=1), design, fraction=1e-9)
    assert set(images.loc[images["role"] == "validation", "label"]) == {"NORMAL", "PNEUMONIA"}


def test_cut_that_leaves_nothing_to_train_on_is_refused(refused):
    with refused("design 'patient'", "NORMAL", "train", "give more images", error=DataError):
        assign_roles(make_images(4), "patient")


def test_unknown_design_is_refused_with_the_known_ones(refused):
    with refused("'fold'", *VALIDATION_DESIGNS, error=DataError):
        assign_roles(make_images(4), "fold")


def test_assigning_roles_leaves_the_images_untouched():
    images = make_images(50)
    before = images.copy()
    assign_roles(images, "image")
    pd.testing.assert_frame_equal(images, before)


def test_hash_is_the_same_on_every_machine_and_uniform():
    # SHA-256 of 'validation:0:IM-115', its first 8 bytes over 2 ** 64.
    assert hash_fraction("IM-115", 0, "validation") == 0.1988678157807147
    values = pd.Series([hash_fraction(str(key), 0, "draw") for key in range(2000)])
    assert values.between(0, 1, inclusive="left").all()
    assert abs(values.mean() - 0.5) < 0.03


# ---------------------------------------------------------------- drawing

def test_draw_of_everything_changes_nothing():
    images = make_images(20)
    for number in (None, 60, 1000):
        pd.testing.assert_frame_equal(draw_by_patient(images, number), images)


def test_draw_takes_whole_patients_and_keeps_the_class_shares():
    images = make_images(1000)
    drawn = draw_by_patient(images, 600)
    assert drawn.groupby("patient").size().eq(3).all()
    assert drawn["label"].value_counts().to_dict() == {"PNEUMONIA": 450, "NORMAL": 150}


def test_draw_keeps_to_its_number_with_patients_of_many_images():
    images = pd.concat([make_images(100, images_each=1), make_images(20, images_each=17, first=500)],
                      ignore_index=True)
    drawn = draw_by_patient(images, 50)
    assert 40 <= len(drawn) <= 50


def test_draw_keeps_to_its_number_when_a_patient_has_images_of_both_classes():
    # A CSV of patients allows it: one child, well once and ill often, too often for a share of 45 images.
    images = make_images(200, images_each=1)
    ill = images.index[images["label"] == "PNEUMONIA"][:60]
    well = images.index[images["label"] == "NORMAL"][:1]
    images.loc[well.append(ill), "patient"] = "one child"
    for seed in range(20):
        assert len(draw_by_patient(images, 60, seed)) <= 60


def test_larger_draw_contains_a_smaller_one():
    images = make_images(1000, images_each=1)
    smaller, larger = (set(draw_by_patient(images, number)["path"]) for number in (100, 300))
    assert smaller < larger


def test_draw_follows_its_seed():
    images = make_images(500)
    first, again, other = (draw_by_patient(images, 300, seed)["path"].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_draw_is_independent_of_the_cut():
    # With one hash for both, the first images drawn would be just those cut for validation.
    images = assign_roles(make_images(4000, images_each=1), "patient", fraction=0.15, seed=0)
    drawn = draw_by_patient(images, 1000, seed=0)
    assert 0.10 < (drawn["role"] == "validation").mean() < 0.20


@pytest.mark.slow
def test_published_cuts_part_patients_only_by_image(published):
    train = published.images[published.images["split"] == "train"]
    parted = {design: (sides_by(train, "patient", design=design) > 1).sum() for design in CUT_DESIGNS}
    assert parted["patient"] == parted["block"] == 0
    assert parted["image"] > 100


@pytest.mark.parametrize("share", [0.1, 0.5, 0.74])
def test_draw_of_given_shares_is_exact_and_takes_whole_patients(published, share):
    training = published.images[published.images["split"] == "train"]
    drawn = draw_shares(training, 1500, share)
    assert (drawn["label"] == "NORMAL").sum() == round(1500 * share)
    assert len(drawn) == 1500
    assert not set(drawn["patient"]) & set(training["patient"][~training.index.isin(drawn.index)])


def test_draw_of_more_images_than_there_are_is_refused(published, refused):
    training = published.images[published.images["split"] == "train"]
    with refused("1480 NORMAL", "1341", error=DataError):
        draw_shares(training, 2000, 0.74)

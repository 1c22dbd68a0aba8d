"""Whether a folder is the published set."""

from covidcnn.data.facts import COUNTS
from covidcnn.data.index import index_folder
from covidcnn.data.sources import CHEST_XRAY, OWN, PUBLISHED_TEST, identify


def test_published_counts_add_up():
    assert sum(COUNTS.values()) == 5856
    train = {subtype: count for (split, subtype), count in COUNTS.items() if split == "train"}
    assert train["bacteria"] + train["virus"] == 3875


def test_published_set_is_recognised_with_its_counts_licence_and_source(published):
    source, sentence = identify(published.images)
    assert source is CHEST_XRAY
    for word in ("5,856", "CC BY 4.0", "10.17632/rscbjbr9sj.2"):
        assert word in sentence
    assert published.images.groupby(["split", "subtype"]).size().to_dict() == COUNTS
    assert len(published.unreadable) == 0


def test_published_set_is_recognised_in_another_format_and_order(published):
    images = published.images.assign(path=published.images["path"].str.replace(".jpeg", ".png"))
    assert identify(images.sample(frac=1, random_state=0))[0] is CHEST_XRAY


def test_set_without_one_training_image_is_not_the_published_one_but_has_its_test(published):
    images = published.images
    source, sentence = identify(images.drop(index=images.index[images["split"] == "train"][0]))
    assert source is PUBLISHED_TEST
    assert "train normal 1340 (published 1341)" in sentence


def test_set_without_one_test_image_has_not_the_published_test(published):
    images = published.images
    assert identify(images.drop(index=images.index[images["split"] == "test"][0]))[0] is OWN


def test_published_test_folder_by_itself_has_the_published_test(published):
    """Given as --data chest_xray/test, it has no splits."""
    images = published.images
    alone = images[images["split"] == "test"].assign(split="all")
    assert identify(alone)[0] is PUBLISHED_TEST
    assert identify(alone.iloc[1:])[0] is OWN
    assert identify(images.assign(split="all"))[0] is OWN


def test_set_with_one_image_renamed_or_moved_is_not_the_published_one(published):
    renamed, moved = published.images.copy(), published.images.copy()
    renamed.loc[0, "path"] = renamed.loc[0, "path"].replace("IM-", "IM-9")
    moved.loc[0, "split"] = "val"
    assert "names differ" in identify(renamed)[1]
    assert identify(moved)[0] is not CHEST_XRAY


def test_tiny_tree_is_not_the_published_set_and_the_counts_are_said(tiny_tree):
    source, sentence = identify(index_folder(tiny_tree).images)
    assert source is OWN
    assert sentence == "These are 104 images of your own, not the published set."

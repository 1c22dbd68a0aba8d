"""The natural experiment inside train: who is trained on, who is judged, and what the verdict makes of scores."""

import re
from functools import partial

import contrasts
import experiment
import numpy as np
import pandas as pd
import pytest
import trainings
from conftest import make_tree

from covidcnn.augment import warp
from covidcnn.cli import main
from covidcnn.data.dataset import open_dataset
from covidcnn.data.index import content_hash
from covidcnn.errors import DataError, UserError
from covidcnn.evaluation.scores import score_columns
from covidcnn.training.result import Training
from covidcnn.trials.store import TrialStore

command = partial(main, experiment.app, "experiment.py")


@pytest.fixture(scope="module")
def images() -> pd.DataFrame:
    """Seven hundred invented images; PNEUMONIA is wider, smaller and less sharp."""
    generator = np.random.default_rng(0)
    label = np.array(["NORMAL"] * 250 + ["PNEUMONIA"] * 450)
    ill = label == "PNEUMONIA"
    return pd.DataFrame({
        "path": [f"train/{one}/{place}.jpeg" for place, one in enumerate(label)], "label": label, "split": "train",
        "patient": [f"p{place // 2}" for place in range(len(label))],
        "aspect": generator.normal(0.2 + 0.2 * ill, 0.12), "area": generator.normal(14.6 - 0.9 * ill, 0.5),
        "sharpness": generator.normal(-0.3 * ill, 0.4)})


@pytest.fixture(scope="module")
def design() -> trainings.Design:
    return trainings.read_design()


def test_design_is_what_was_laid_down(design):
    assert {name: len(arm.sweep.seeds) for name, arm in design.arms.items()} == {
        "unmatched": 10, "aspect": 10, "area": 10, "padded": 4, "cropped": 4}
    assert design.arms["padded"].sweep.recipes[0].images.pad
    assert not design.arms["unmatched"].sweep.recipes[0].images.pad
    # The contrast needs what it measures, and test images of the published set have no part in it.
    assert all({"height 0.90", "height 1.10", "width 0.90", "width 1.10"} <= set(arm.sweep.recipes[0].perturbations)
               for arm in design.arms.values())


def test_halves_share_no_patient_and_are_exchanged(images):
    for replicate in (0, 1, 4):
        learns = trainings.learns(images, replicate)
        assert 0.4 < learns.mean() < 0.6
        assert not set(images.loc[learns, "patient"]) & set(images.loc[~learns, "patient"])
        judged = trainings.judged_images(images, replicate)
        assert not set(judged["patient"]) & set(images.loc[learns, "patient"])
        assert judged["label"].value_counts().nunique() == 1
    assert (trainings.learns(images, 2) == ~trainings.learns(images, 3)).all()
    assert (trainings.learns(images, 0) != trainings.learns(images, 2)).any()


def test_arms_differ_in_what_they_are_to_differ_in(images, design):
    gap = {}
    for name in ("unmatched", "aspect", "area"):
        chosen = trainings.training_images(images, design.arms[name], 0, 60)
        assert chosen["label"].value_counts().to_dict() == {"NORMAL": 60, "PNEUMONIA": 60}
        assert chosen["path"].is_unique
        assert trainings.learns(images, 0)[chosen.index].all()
        gap[name] = chosen.groupby("label")[["aspect", "area"]].mean().diff().iloc[-1]
    assert abs(gap["aspect"]["aspect"]) < 0.02
    assert gap["area"]["aspect"] > 0.14
    assert abs(gap["area"]["area"]) < 0.3 < abs(gap["unmatched"]["area"])


def test_too_few_pairs(images, design):
    with pytest.raises(DataError, match="widen the calipers"):
        trainings.training_images(images, design.arms["aspect"], 0, 125)


def test_cropped_to_one_aspect():
    wide, tall = np.arange(100 * 200).reshape(100, 200) % 251, np.arange(200 * 100).reshape(200, 100) % 251
    assert trainings.cropped(wide, 1.36).shape == (100, 136)
    assert trainings.cropped(tall, 1.36).shape == (74, 100)
    assert (trainings.cropped(wide, 1.0) == wide[:, 50:150]).all()


def scores(effect: float, width: float = 0.0, replicates: int = 6, images: int = 200) -> list[pd.DataFrame]:
    """Of NORMAL and PNEUMONIA images in equal number; ``effect`` and ``width`` move NORMAL scores when stretched."""
    tables = []
    for replicate in range(replicates):
        generator = np.random.default_rng(replicate)
        rows = []
        for label, centre in (("NORMAL", -2.0), ("PNEUMONIA", 2.0)):
            plain = generator.normal(centre, 1, images)
            for perturbation, moved in (("", 0), ("height 1.10", effect), ("height 0.90", -effect),
                                        ("width 1.10", width), ("width 0.90", -width)):
                rows.append(pd.DataFrame({"split": "test", "label": label, "perturbation": perturbation,
                                          "path": [f"{label}/{place}" for place in range(images)],
                                          "patient": [f"{label}{place // 2}" for place in range(images)],
                                          "score": 1 / (1 + np.exp(-plain - moved))}))
        tables.append(pd.concat([*rows, rows[0].assign(split="validation", path="elsewhere")], ignore_index=True))
    return tables


def test_response_is_the_difference_of_alarms_at_an_operating_point_of_its_own():
    tables = {"a": scores(1.0, width=-0.5)}
    # P(z > 1.28 - 1) - P(z > 1.28 + 1) of a standard normal: 0.390 - 0.011; along the width, 0.5: -(0.217 - 0.037).
    found = contrasts.contrast([(1, "a", contrasts.response("height"))], tables)
    assert found.mean == pytest.approx(0.379, abs=0.04)
    assert found.low < found.mean < found.high
    assert found.patient_error > 0
    assert found.seeds == 6
    across = contrasts.contrast([(1, "a", contrasts.response("width"))], tables)
    assert across.mean == pytest.approx(-0.180, abs=0.04)
    # A training whose scores all lie higher has the same.
    higher = {"a": [table.assign(score=table["score"] ** 0.3) for table in tables["a"]]}
    again = contrasts.contrast([(1, "a", contrasts.response("height"))], higher)
    assert again.mean == pytest.approx(found.mean)


def test_alarm_rate_of_a_group():
    tables = {"a": scores(1.0)}
    everyone = [f"NORMAL/{place}" for place in range(200)]
    of_all = contrasts.contrast([(1, "a", contrasts.alarm_rate(everyone))], tables)
    assert of_all.mean == pytest.approx(0.1, abs=0.005)
    ill = [f"PNEUMONIA/{place}" for place in range(200)]
    assert contrasts.contrast([(1, "a", contrasts.alarm_rate(ill))], tables).mean > 0.98


@pytest.mark.parametrize(("unmatched", "matched", "expected"), [
    (1.0, 0.1, "supported"), (1.0, 1.0, "refuted"), (0.0, 0.0, "open"), (1.0, 0.48, "open")])
def test_verdict(unmatched, matched, expected):
    assert contrasts.verdict({"unmatched": scores(unmatched), "aspect": scores(matched)}) == expected


def chance(dataset, trial, folder, report):
    """A trainer that scores by chance whatever the trial says is to be scored."""
    own = dataset.images[dataset.images["split"] == "test"] if trial.score_test else dataset.images[:2]
    generator = np.random.default_rng(trial.seed)
    rows = pd.concat([own.assign(split="test" if trial.score_test else "validation", perturbation=perturbation,
                                 score=generator.uniform(size=len(own)))
                      for perturbation in ("", *trial.recipe.perturbations)], ignore_index=True)
    history = pd.DataFrame({"val_loss": [1.0] * trial.recipe.epochs},
                           index=pd.RangeIndex(1, trial.recipe.epochs + 1, name="epoch"))
    return Training(None, history, rows[score_columns()], interrupted=False)


def test_plan_and_dry_run(tmp_path, monkeypatch, run):
    """Of a small folder with a manifest: pairs, roles and keys, and a dry run that scores no judged image."""
    dataset = open_dataset(make_tree(tmp_path / "data", {"train": (60, 80), "val": (2, 2), "test": (2, 2)},
                                     size=(48, 40)))
    own = dataset.images
    generator = np.random.default_rng(1)
    manifest = pd.DataFrame({
        "split": own["split"], "class": own["label"], "file": own["path"].str.rsplit("/", n=1).str[1],
        "original_width": generator.integers(900, 1500, len(own)), "original_height": 1000,
        "sample": np.where(np.arange(len(own)) % 9 == 0, "other", trainings.SAMPLE)})
    manifest.to_csv(dataset.root / "manifest.csv", index=False)
    measured = trainings.measured_images(dataset)
    assert set(measured["split"]) == {"train"}
    assert len(measured) == ((manifest["sample"] == trainings.SAMPLE) & (manifest["split"] == "train")).sum()
    width = manifest.set_index(own["path"])["original_width"]
    assert measured["aspect"].to_numpy() == pytest.approx(np.log(width[measured["path"]] / 1000).to_numpy())

    shared = trainings.read_design().arms["unmatched"].sweep.recipes[0]
    path = tmp_path / "design.yaml"
    path.write_text(f"""
data: {dataset.content_hash}
pairs: 8
shared: {{size: 16, precision: float32, epochs: 2, validation_fraction: 0.001, choose_by: last,
         filters: [4, 4], perturbations: {list(shared.perturbations)}}}
arms:
  unmatched: {{question: one, seeds: [0, 1]}}
  aspect: {{question: two, seeds: [0, 1], match: {{aspect: 0.3}}}}
  cropped: {{question: three, seeds: [0], common_aspect: 1.0}}
""")
    design = trainings.read_design(path)
    plan = list(trainings.planned(design, dataset, measured))
    assert [(name, trial.seed) for name, trial, _ in plan] == [
        ("unmatched", 0), ("aspect", 0), ("cropped", 0), ("unmatched", 1), ("aspect", 1)]
    assert len({trial.key for _, trial, _ in plan}) == 5
    for _, trial, images in plan:
        assert images.images.loc[images.images["split"] == "train", "label"].value_counts().to_list() == [8, 8]
        assert trial.data == content_hash(images.images)
        assert not images.source.protects_test
    judged = [set(images.images.loc[images.images["split"] == "test", "path"]) for _, _, images in plan]
    assert judged[0] == judged[1] == judged[2] != judged[3]

    monkeypatch.setattr("covidcnn.trials.work.train_trial", chance)
    monkeypatch.setattr(experiment, "FOLDER", tmp_path)
    monkeypatch.setattr(experiment, "read_design", lambda: design)
    code, out, err = run("run", "--data", dataset.root, "--dry-run", main=command)
    assert (code, out) == (0, "")
    assert "cropped, replicate 0: " in err
    results, problems = TrialStore(tmp_path / "dry").read_all()
    assert (len(results), problems) == (3, [])
    for result in results:
        assert set(result.scores["split"]) == {"validation"}
        assert len(result.history) == 1
    with pytest.raises(DataError):
        experiment.read_scores(design, dataset, measured, TrialStore(tmp_path / "dry"))
    assert run("run", "--data", dataset.root, "--shard", "1/2", main=command)[0] == 0
    code, out, err = run("tables", "--data", dataset.root, main=command)
    assert (code, out) == (2, "")
    assert re.search(r"^experiment.py: .*store: [1-4] trainings are not finished", err, re.MULTILINE)
    assert run("run", "--data", dataset.root, "--shard", "2/2", main=command)[0] == 0
    found = experiment.read_scores(design, dataset, measured, TrialStore(tmp_path / "store"))
    assert [len(tables) for tables in found.values()] == [2, 2, 1]
    assert contrasts.verdict(found) in ("supported", "refuted", "open")
    of_two = {arm: tables for arm, tables in found.items() if len(tables) > 1}
    table = contrasts.response_table(of_two).set_index(["arm", "measure"])
    assert set(table.index.get_level_values("arm")) == {"unmatched", "aspect"}


def test_groups_are_of_normal_images_by_aspect_and_by_registered_height(tmp_path):
    dataset = open_dataset(make_tree(tmp_path / "data", {"train": (40, 40), "test": (4, 4)}, size=(32, 32)))
    images = dataset.images[dataset.images["split"] == "train"].reset_index(drop=True)
    images["aspect"] = np.log(np.where(np.arange(len(images)) % 2, 1.5, 1.0))
    generator = np.random.default_rng(0)
    chest = np.zeros((32, 32), np.uint8)
    chest[8:24, 6:26] = 200
    pixels = np.stack([warp(chest, height=1 / generator.uniform(0.9, 1.1)) for _ in range(len(images))])
    found = contrasts.groups(images, pixels)
    normal = set(images.loc[images["label"] == "NORMAL", "path"])
    assert set(found["wide"]) | set(found["narrow"]) == normal
    assert not set(found["wide"]) & set(found["narrow"])
    assert set(found["tight"]) | set(found["not tight"]) == normal
    rows = pixels[images["path"].isin(found["tight"]).to_numpy()].sum(axis=(1, 2)).min()
    assert rows > np.median(pixels[images["path"].isin(found["not tight"]).to_numpy()].sum(axis=(1, 2)))


@pytest.mark.parametrize("name", ["run", "tables", "framing"])
def test_other_images_are_refused(tiny_tree, run, name):
    code, out, err = run(name, "--data", tiny_tree, main=command)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"experiment.py: {tiny_tree}: not the images that ")


@pytest.mark.parametrize("content", [None, "", "split,class\ntrain,NORMAL\n"])
def test_images_without_the_sizes_of_their_originals_are_refused(small_tree, refused, content):
    if content is not None:
        (small_tree / "manifest.csv").write_text(content)
    with refused(small_tree / "manifest.csv", "experiment.py images", error=DataError):
        trainings.measured_images(open_dataset(small_tree))


@pytest.mark.long
@pytest.mark.slow
def test_tables_are_those_of_the_store(shared_aspect, tmp_path):
    """The results that are published come out again from scores and images."""
    found = experiment.write_tables(trainings.read_design(), open_dataset(shared_aspect),
                                    TrialStore(experiment.FOLDER / "store"), tmp_path)
    assert found == "open"
    for name in ("responses", "contrasts", "groups", "training_images"):
        # But for the last digit: registration is in 32 bits, and not the same to the bit on every processor.
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / f"{name}.csv"),
                                      pd.read_csv(experiment.FOLDER / f"{name}.csv"))


def test_damaged_design(tmp_path):
    path = tmp_path / "design.yaml"
    path.write_text("data: x\npairs: 3\narms: {}\n")
    with pytest.raises(UserError, match="no design"):
        trainings.read_design(path)

"""A notebook's part of a report: what is saved, stamped and entered."""

import json

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from stub import stub_trainer

from covidcnn.data.sources import CHEST_XRAY, PHANTOM, PNEUMONIAMNIST, PUBLISHED_TEST
from covidcnn.errors import DataError
from covidcnn.report.notebook_run import STORE, open_run, report_folder
from covidcnn.report.record import entered, read_record
from covidcnn.training import fit
from covidcnn.training.result import Diverged
from covidcnn.trials import work


@pytest.fixture
def opened(tiny_tree, tmp_path):
    return open_run("01_n", "smoke", str(tiny_tree), str(tmp_path / "out"))


def marked(run, **changes):
    """The same run on a data set of another kind."""
    from dataclasses import replace

    return replace(run, dataset=replace(run.dataset, **changes))


def record(run):
    return json.loads((run.folder / "record/01_n.json").read_text(encoding="utf-8"))


def text_of(run, name):
    return (run.folder / f"figures/{name}.svg").read_text(encoding="utf-8")


def test_figure_is_saved_twice_closed_and_entered_once(opened):
    for caption in ("first", "second"):
        figure, _ = plt.subplots()
        opened.save_figure(figure, "fig_99", caption, "schema")
        assert not plt.fignum_exists(figure.number)
    assert (opened.folder / "figures/fig_99.png").is_file()
    assert record(opened)["figures"] == [
        {"name": "fig_99", "file": "figures/fig_99.png", "caption": "second"}]


@pytest.mark.parametrize("text", ["", "{"])
def test_damaged_record_is_named(tmp_path, refused, text):
    (tmp_path / "record").mkdir()
    (tmp_path / "record/01_n.json").write_text(text)
    with refused("01_n.json", "run the notebook again", error=DataError):
        entered(tmp_path, "01_n")


@pytest.mark.parametrize(("content", "file"), [
    ("images", "figures/images/f.png"), ("results", "figures/f.png"), ("schema", "figures/f.png")])
def test_figures_of_images_lie_apart(opened, content, file):
    figure, _ = plt.subplots()
    opened.save_figure(figure, "f", "caption", content)
    assert record(opened)["figures"][0]["file"] == file


def test_figures_of_phantoms_say_so_unless_no_image_had_a_part(opened):
    run = marked(opened, source=PHANTOM)
    for name, content in (("measured", "results"), ("drawing", "schema")):
        figure, _ = plt.subplots()
        run.save_figure(figure, name, "caption", content)
    assert "Phantom images, no patients" in text_of(run, "measured")
    assert "Phantom" not in text_of(run, "drawing")


def test_published_images_are_credited(opened):
    run = marked(opened, source=CHEST_XRAY)
    figure, _ = plt.subplots()
    run.save_figure(figure, "f", "caption", "images")
    assert "Kermany" in text_of(run, "images/f")
    assert "PneumoniaMNIST" not in text_of(run, "images/f")


def test_images_of_pneumoniamnist_are_credited_and_validated_by_their_own_split(opened):
    run = marked(opened, source=PNEUMONIAMNIST)
    figure, _ = plt.subplots()
    run.save_figure(figure, "f", "caption", "images")
    assert "PneumoniaMNIST, Yang et al. 2023, from Kermany" in text_of(run, "images/f")
    assert run.recipe().validation == "published"
    assert opened.recipe().validation == "patient"


def test_results_on_the_published_test_set_are_called_exploratory(opened):
    run = marked(opened, source=PUBLISHED_TEST)
    run.save_table(pd.DataFrame({"a": [1]}), "on_test", "Numbers.", scores_test=True)
    run.save_table(pd.DataFrame({"a": [1]}), "elsewhere", "Numbers.")
    figure, _ = plt.subplots()
    run.save_figure(figure, "f", "caption", "results", scores_test=True)
    captions = {entry["name"]: entry["caption"] for entry in record(run)["tables"]}
    assert "exploratory" in captions["on_test"]
    assert "exploratory" not in captions["elsewhere"]
    assert "exploratory" in (run.folder / "tables/on_test.md").read_text(encoding="utf-8")
    assert "exploratory" in text_of(run, "f")


def test_only_scorings_of_the_published_test_set_are_entered(opened):
    opened.log_test_access("a model")
    assert record(opened)["test-set accesses"] == []
    for _ in range(2):
        marked(opened, source=PUBLISHED_TEST).log_test_access("a model")
    assert [entry["name"] for entry in record(opened)["test-set accesses"]] == ["a model", "a model"]


def test_a_figure_is_shown_with_its_caption_and_tied_to_its_file(opened, monkeypatch):
    shown = []
    monkeypatch.setattr("covidcnn.report.notebook_run.display", shown.append)
    figure, _ = plt.subplots()
    opened.save_figure(figure, "f", "caption", "images")
    _, metadata = shown[0]._repr_mimebundle_()
    assert metadata["image/png"] == {"width": 700, "alt": "caption", "name": "f", "file": "figures/images/f.png"}


def test_scores_are_saved_and_entered_with_their_threshold(opened):
    scores = pd.DataFrame({"split": ["validation", "test"], "score": [0.25, 1 / 3]})
    opened.save_scores(scores, "s", "Margins.", threshold=0)
    assert record(opened)["scores"] == [
        {"name": "s", "file": "scores/s.csv", "caption": "Margins.", "threshold": 0,
         "classes": ["NORMAL", "PNEUMONIA"]}]
    assert (opened.folder / "scores/s.csv").read_text().splitlines()[2] == "test,0.333333333"
    published = marked(opened, source=PUBLISHED_TEST)
    published.save_scores(scores, "s", "Both.")
    published.save_scores(scores[:1], "v", "Validation.")
    captions = {entry["name"]: entry["caption"] for entry in record(opened)["scores"]}
    assert "exploratory" in captions["s"]
    assert "exploratory" not in captions["v"]


def test_tables_keep_a_named_index(opened):
    opened.save_table(pd.DataFrame({"n": [1, 2]}, index=pd.Index(["a", "b"], name="kind")), "t", "Numbers.")
    assert (opened.folder / "tables/t.csv").read_text().splitlines() == ["kind,n", "a,1", "b,2"]


def test_tables_keep_an_index_of_two_names(opened):
    index = pd.MultiIndex.from_tuples([("a", "x"), ("b", "y")], names=["kind", "measure"])
    opened.save_table(pd.DataFrame({"n": [1, 2]}, index=index), "t", "Numbers.")
    assert (opened.folder / "tables/t.csv").read_text().splitlines() == ["kind,measure,n", "a,x,1", "b,y,2"]
    assert (opened.folder / "tables/t.md").read_text().splitlines()[4].split() == ["|", "a", "|", "x", "|", "1", "|"]


def test_opening_again_starts_the_record_anew(opened, tiny_tree):
    opened.save_table(pd.DataFrame({"a": [1]}), "t", "Numbers.")
    again = open_run("01_n", "smoke", str(tiny_tree), str(opened.folder))
    assert record(again)["tables"] == []


def test_opening_again_forgets_no_scoring_of_the_published_test_set(opened, tiny_tree):
    marked(opened, source=PUBLISHED_TEST).log_test_access("a model")
    path = opened.folder / "record/01_n.json"
    for name in ("test-set accesses", "test openings"):  # today's, and that of before
        path.write_text(path.read_text(encoding="utf-8").replace("test-set accesses", name), encoding="utf-8")
        again = open_run("01_n", "smoke", str(tiny_tree), str(opened.folder))
        assert [entry["name"] for entry in record(again)["test-set accesses"]] == ["a model"]


def test_three_classes_are_refused(tiny_tree, tmp_path, refused):
    with refused("a report tells two classes apart, and there are 3"):
        open_run("01_n", "smoke", str(tiny_tree), str(tmp_path / "out"), task="subtype")


def test_trial_is_trained_once_and_its_scoring_entered_once(opened, monkeypatch):
    run = marked(opened, source=PUBLISHED_TEST)
    trained = []

    def trainer(dataset, trial, folder, report):
        trained.append(trial.key)
        return stub_trainer(dataset, trial, folder, report)

    monkeypatch.setattr(work, "train_trial", trainer)
    recipe = run.recipe(optimizer="SGD")
    first, again = run.trial(recipe, 0), run.trial(recipe, 0)
    pd.testing.assert_frame_equal(first.scores, again.scores)
    assert len(trained) == 1
    assert set(first.scores["split"]) == {"validation", "test"}
    assert (run.folder / STORE / "trials" / f"{trained[0]}.json").is_file()
    assert [entry["name"] for entry in record(run)["test-set accesses"]] == [
        "SGD, plain images, augmentation none, balancing none, seed 0"]


def test_trial_that_diverges_is_refused(opened, monkeypatch, refused):
    def diverge(*_):
        raise Diverged("the loss is no number any more; take a lower learning rate")

    monkeypatch.setattr(work, "train_trial", diverge)
    with refused("lower learning rate"):
        opened.trial(opened.recipe(), 0)


@pytest.mark.slow
def test_training_of_a_cell_that_is_interrupted_gives_no_model(opened, monkeypatch):
    """Its later cells would show what was trained for less as the recipe's result."""
    def interrupt(epoch, *_):
        raise KeyboardInterrupt

    train = fit.train
    monkeypatch.setattr(fit, "train", lambda *given, **named: train(*given, report=interrupt, **named))
    with pytest.raises(KeyboardInterrupt):
        opened.train(opened.recipe(filters=(4,)), seed=0)


@pytest.mark.parametrize("record", ["{}", "[]", "{\"notebooks\": []}"])
def test_record_of_another_shape_is_as_good_as_none(tmp_path, record):
    (tmp_path / "run-record.json").write_text(record)
    assert read_record(tmp_path) == {"notebooks": {}}


def test_folder_of_no_such_user_is_a_folder(opened, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert str(report_folder(opened.profile, opened.dataset, "~nobody-here/x")) == "~nobody-here/x"

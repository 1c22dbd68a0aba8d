"""``covidcnn evidence``: from an empty store to the ledger, and what is refused on the way."""

import json
from threading import Event, Thread

import pandas as pd
import pytest
import yaml
from stub import stub_trainer

from covidcnn.data.dataset import open_dataset
from covidcnn.study.protocol import read_protocol
from covidcnn.task import SUBTYPE
from covidcnn.training.recipe import recipe_of
from covidcnn.trials.store import TrialStore
from covidcnn.trials.trial import pin_trial
from covidcnn.trials.work import train_trial

pytestmark = [pytest.mark.usefixtures("committed"), pytest.mark.slow]

RECIPE = {"size": 16, "epochs": 2, "precision": "float32"}


@pytest.fixture
def paper(tiny_tree, tmp_path, monkeypatch):
    """A folder like reports/paper with a small protocol about the tiny images; training is a stub."""
    value = {"data": open_dataset(tiny_tree).content_hash, "floor": {"question": "What is the least?"}, "arms": {
        "plain": {"question": "As it is?", "sweep": {"seeds": [0, 1], "score_test": True, "recipe": RECIPE,
                                                     "grid": {"optimizer": ["Nadam", "SGD"]}}},
        "tuning": {"question": "Which rate?", "select": "all", "sweep": {
            "seeds": [100], "recipe": RECIPE, "grid": {"learning_rate": [0.1, 0.01]}}}}}
    folder = tmp_path / "paper"
    folder.mkdir()
    (folder / "protocol.yaml").write_text(yaml.safe_dump(value, sort_keys=False))
    monkeypatch.setattr("covidcnn.study.protocol.REPORTS", tmp_path)
    monkeypatch.setattr("covidcnn.trials.work.train_trial", stub_trainer)
    return folder


def test_complete_goes_from_nothing_to_the_ledger_and_finds_it_all_done_again(paper, tiny_tree, run):
    code, out, err = run("evidence", "complete", "--data", tiny_tree)
    assert (code, "not finished" in out) == (0, True)
    # What is chosen on validation comes first, whatever the order in the file.
    assert err.index("arm tuning") < err.index("arm plain")
    claims = pd.read_csv(paper / "claims.csv", index_col="name")
    assert claims.loc["nadam-accuracy", "ours"] == "arm 1-as-published is not in the protocol"
    assert yaml.safe_load((paper / "selections.yaml").read_text())["tuning"]["variants"] == [{"learning_rate": 0.01}]
    assert set(json.loads((paper / "frozen.json").read_text())["arms"]) == {"plain", "tuning"}
    manifest = json.loads((paper / "manifest.json").read_text())
    assert manifest["accesses to the published test set"] == {"trainings": 4, "models of the baseline": 2}
    assert {"plain", "plain-against-first", "tuning", "8-floor", "trials"} <= set(manifest["tables"])
    before = {path: path.read_bytes() for path in paper.rglob("*") if path.is_file()}
    assert run("evidence", "complete", "--data", tiny_tree)[0] == 0
    assert {path: path.read_bytes() for path in paper.rglob("*") if path.is_file()} == before


def test_trial_of_two_arms_is_run_once(paper, tiny_tree, run, monkeypatch):
    asked = []
    monkeypatch.setattr("covidcnn.cli.evidence.run_and_watch", lambda trials, *_: asked.append(trials))
    assert run("evidence", "run", "plain", "plain", "--processes", 2, "--data", tiny_tree)[0] == 0
    ((first, *others),) = asked
    assert len({first, *others}) == 1 + len(others) == 4


def test_ledger_makes_the_tables_of_another_study_once_something_of_it_is_finished(paper, tiny_tree, run, monkeypatch):
    monkeypatch.setattr("covidcnn.trials.work._model_file", lambda *_: b"a model")
    other = paper.with_name("models")
    other.mkdir()
    value = yaml.safe_load((paper / "protocol.yaml").read_text())
    (other / "protocol.yaml").write_text(yaml.safe_dump(value | {"arms": {"tuning": value["arms"]["tuning"]}}))
    assert run("evidence", "ledger")[0] == 0
    assert not (other / "tables").exists()
    assert run("evidence", "run", "tuning", "--study", "models", "--data", tiny_tree, "--keep-models")[0] == 0
    assert len(list((other / "store/models").glob("*.keras"))) == 2
    code, _, err = run("evidence", "ledger")
    assert (code, "study 'models'" in err) == (0, True)
    assert set(json.loads((other / "manifest.json").read_text())["tables"]) == {"trials"}
    assert len(pd.read_csv(other / "tables/trials.csv")) == 2


def test_a_study_of_other_classes_trains_on_their_labels(paper, tiny_tree, run, monkeypatch):
    """Once the images were opened for two classes, and ten trainings learnt these under the names of three."""
    seen = []

    def trainer(dataset, *arguments):
        seen.append(set(dataset.images["label"]))
        return stub_trainer(dataset, *arguments)

    monkeypatch.setattr("covidcnn.trials.work.train_trial", trainer)
    other = paper.with_name("subtype")
    other.mkdir()
    value = yaml.safe_load((paper / "protocol.yaml").read_text())
    (other / "protocol.yaml").write_text(yaml.safe_dump(value | {"task": "subtype", "arms": {
        "tuning": value["arms"]["tuning"]}}))
    code, _, err = run("evidence", "run", "tuning", "--study", "subtype", "--data", tiny_tree)
    assert code == 0, err
    assert seen == [{"NORMAL", "BACTERIA", "VIRUS"}] * 2


def test_images_opened_for_another_task_are_not_trained_on(tiny_tree, tmp_path):
    dataset = open_dataset(tiny_tree)
    trial = pin_trial(dataset.content_hash, recipe_of(RECIPE), 0, task=SUBTYPE)
    with pytest.raises(ValueError, match="opened for pneumonia"):
        train_trial(dataset, trial, tmp_path, None)


def test_complete_selects_when_another_process_has_done_its_part(paper, tiny_tree, run, monkeypatch):
    begun, left_alone = Event(), Event()

    def others(*arguments):
        begun.set()
        left_alone.wait()
        return stub_trainer(*arguments, pause=0.5)

    def own(*arguments):
        # Of the second trial: the first was met before, and left to the other process.
        left_alone.set()
        return stub_trainer(*arguments)

    monkeypatch.setattr("covidcnn.trials.work.train_trial", own)
    protocol = read_protocol(paper / "protocol.yaml")
    trial = protocol.trials("tuning")[0]
    other = Thread(target=TrialStore(paper / "store").run, args=(None, trial), kwargs={"trainer": others})
    other.start()
    begun.wait()
    code, out, _ = run("evidence", "complete", "--data", tiny_tree)
    other.join()
    assert (code, "1 being run by another process" in out) == (0, True)
    assert len(yaml.safe_load((paper / "selections.yaml").read_text())["tuning"]["considered"]) == 2


def test_baseline_and_arms_wait_for_what_is_to_be_selected(paper, tiny_tree, run):
    for command in (("evidence", "baseline"), ("evidence", "run", "plain")):
        code, _, err = run(*command, "--data", tiny_tree)
        assert code == 2
        assert "before 'tuning' has selected" in err.splitlines()[-1]
    assert not (paper / "openings.csv").exists()
    assert not (paper / "store" / "floor").exists()


def test_status_says_what_is_finished(paper, tiny_tree, run):
    run("evidence", "run", "tuning", "--data", tiny_tree)
    code, out, _ = run("evidence", "status")
    assert code == 0
    rows = {line.split("│")[1].strip(): line for line in out.splitlines() if "│" in line}
    assert [cell.strip() for cell in rows["tuning"].split("│")[2:4]] == ["2", "2"]
    assert [cell.strip() for cell in rows["plain"].split("│")[2:4]] == ["4", "0"]


def test_other_images_than_the_protocols_are_refused(paper, tmp_path, run):
    from conftest import make_tree

    code, out, err = run("evidence", "complete", "--data", make_tree(tmp_path / "other", seed=3))
    assert (code, out) == (2, "")
    assert "not the images that" in err.splitlines()[-1]


def test_sizes_of_original_files_join_the_baseline(paper, tiny_tree, run):
    run("evidence", "run", "tuning", "--data", tiny_tree)
    run("evidence", "select", "tuning")
    assert run("evidence", "baseline", "--data", tiny_tree, "--originals", tiny_tree)[0] == 0
    run("evidence", "ledger")
    table = pd.read_csv(paper / "tables" / "8-floor-sizes.csv")
    assert {"pixel area", "width / height"} <= set(table["measure"])
    # All tiny images have one size.
    assert table.set_index("measure").loc["pixel area", "auc"] == 0.5


@pytest.mark.parametrize(("machine", "warned"), [("float32", True), ("bfloat16", False)])
def test_precision_that_the_machine_lacks_is_warned_of(paper, tiny_tree, run, monkeypatch, machine, warned):
    path = paper / "protocol.yaml"
    path.write_text(path.read_text().replace("precision: float32", "precision: bfloat16"))
    monkeypatch.setattr("covidcnn.training.precision.resolve_precision",
                        lambda name: machine if name == "auto" else name)
    code, _, err = run("evidence", "run", "tuning", "--data", tiny_tree)
    assert (code, "ask for bfloat16" in err) == (0, warned)
    # Nothing is left to train, so there is nothing to warn of.
    assert "bfloat16" not in run("evidence", "run", "tuning", "--data", tiny_tree)[2]


@pytest.mark.parametrize("name", ["a[bold]b", "size:100:a"])
def test_brackets_and_colons_in_the_name_of_a_store_are_no_markup(paper, tiny_tree, run, name):
    run("evidence", "run", "tuning", "--data", tiny_tree)
    (paper / "store").rename(paper.parent / name)
    code, out, _ = run("trials", paper.parent / name)
    assert (code, "2 trials of" in out, name in "".join(out.split())) == (0, True, True)


def test_store_of_a_study_is_packed_and_unpacked_again(paper, tiny_tree, run):
    assert run("evidence", "complete", "--data", tiny_tree)[0] == 0
    before = {path.name: path.read_bytes() for path in (paper / "store" / "trials").iterdir()}
    code, _, err = run("evidence", "pack")
    assert (code, "6 trials" in err) == (0, True)
    assert not [*(paper / "store" / "trials").iterdir()]
    assert run("evidence", "status")[0] == 0
    assert run("evidence", "unpack")[0] == 0
    assert {path.name: path.read_bytes() for path in (paper / "store" / "trials").iterdir()} == before

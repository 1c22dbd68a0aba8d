"""A model put together for others: what its card says, and what is refused."""

import hashlib
import json

import pytest

pytestmark = pytest.mark.slow

# A rate at which nothing is learnt: it errs.
FAST = ("--epochs", 1, "--size", 32, "--batch-norm-momentum", 0.9, "--learning-rate", 1e-9)


@pytest.fixture(scope="module")
def trained(tiny_tree, tmp_path_factory, own_cache):
    """A model file, and what evaluate printed of it."""
    from typer.testing import CliRunner

    from covidcnn.cli import app

    folder = tmp_path_factory.mktemp("trained")

    def run(*arguments):
        result = CliRunner().invoke(app, list(map(str, arguments)))
        assert result.exit_code == 0, result.output
        return result.stdout

    for name, seed in (("one", 0), ("other", 1)):
        run("train", "--data", tiny_tree, "--out", folder / name, "--seed", seed, *FAST)
    evaluate = ("evaluate", folder / "one/model.keras", "--data", tiny_tree, "--json", "--bootstrap-samples", 20)
    (folder / "plain.json").write_text(run(*evaluate), encoding="utf-8")
    (folder / "perturbed.json").write_text(run(*evaluate, "--perturbed"), encoding="utf-8")
    return folder


def test_card_says_what_was_measured_and_how_it_fails(trained, tmp_path, run):
    model = trained / "one/model.keras"
    code, _, err = run("release", model, "--evaluated", trained / "perturbed.json", "--out", tmp_path / "release",
                       "--note", "One of five seeds.")
    assert code == 0, err
    card = (tmp_path / "release/MODEL_CARD.md").read_text(encoding="utf-8")
    measured = json.loads((trained / "perturbed.json").read_text(encoding="utf-8"))
    auc = measured["metrics"]["auc"]
    row = next(line for line in card.splitlines() if line.startswith("| auc "))
    assert [cell.strip() for cell in row.split("|")[2:5]] == [f"{auc[name]:.3f}" for name in ("value", "low", "high")]
    wrong = [row for row in measured["confusion matrix"] if row["class"] != row["predicted"] and row["images"]]
    assert wrong
    for row in wrong:
        assert f"{row['images']} are predicted {row['predicted']}: {row['share']:.1%}" in card
    assert "One of five seeds." in card
    worst = [row["perturbation"] for row in measured["perturbed"][1:] if "black" not in row["perturbation"]]
    assert [line.split("|")[1].strip() for line in card.partition("*Lost* is")[2].splitlines()[4:9]] == worst[:5]
    assert "lungs black" not in card
    assert hashlib.sha256(model.read_bytes()).hexdigest() in card
    assert "was not measured" not in card
    for line in (tmp_path / "release/SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "release" / name).read_bytes()).hexdigest() == digest


def test_card_says_what_was_not_measured(trained, tmp_path, run):
    assert run("release", trained / "one/model.keras", "--evaluated", trained / "plain.json", "--out",
               tmp_path / "release")[0] == 0
    assert "changed images was not measured" in (tmp_path / "release/MODEL_CARD.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("model", "evaluated", "words"), [
    ("other/model.keras", "plain.json", "of another model file"),
    ("one/model.keras", "one/run.json", "not what covidcnn evaluate --json prints"),
    ("one/model.keras", "one/history.csv", "cannot be read as JSON"),
    ("one/model.keras", "none.json", "cannot be read as JSON")])
def test_numbers_of_something_else_are_refused(trained, tmp_path, run, model, evaluated, words):
    code, _, err = run("release", trained / model, "--evaluated", trained / evaluated, "--out", tmp_path / "release")
    assert (code, err.count("\n")) == (2, 1)
    assert words in err
    assert evaluated in err
    assert not (tmp_path / "release").exists()


def test_folder_that_holds_something_is_left_as_it_is(trained, tmp_path, run):
    (tmp_path / "kept").write_text("mine")
    code, _, err = run("release", trained / "one/model.keras", "--evaluated", trained / "plain.json", "--out", tmp_path)
    assert (code, "choose a new or empty folder" in err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]

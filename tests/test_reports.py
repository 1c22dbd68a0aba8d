"""What is committed of the paper profile: made from its store, of one piece, and without a trace of a machine."""
import json
import re
import shutil

import pandas as pd
import pytest
from second_analysis import second_ledger
from test_second_analysis import assert_same

from covidcnn.paper.baseline_scores import BASELINE
from covidcnn.paper.claims import SECTIONS
from covidcnn.paper.study_folders import LEDGER, PROTOCOL, STORE, evidence_of
from covidcnn.paper.tables import evidence_tables
from covidcnn.paper.write import FROZEN_CLAIMS, other_than_frozen
from covidcnn.paths import MANIFEST
from covidcnn.study.access_log import open_store, read_access_log
from covidcnn.study.ledger import ledger, read_ledger
from covidcnn.study.pages import manifest, write_tables
from covidcnn.study.protocol import read_protocol
from covidcnn.study.verdicts import OPEN
from covidcnn.trials.pack import packed_files

pytestmark = pytest.mark.slow

FOLDER = PROTOCOL.parent
MACHINE = re.compile(r"/(?:home|root|Users|work|tmp|opt|mnt)/[A-Za-z]")


@pytest.fixture(scope="module")
def protocol():
    return read_protocol(PROTOCOL)


@pytest.fixture(scope="module")
def evidence(protocol):
    return evidence_of(protocol, open_store(STORE))


@pytest.fixture(scope="module")
def tables(evidence):
    return evidence_tables(evidence)


@pytest.fixture(scope="module")
def claims(evidence):
    return ledger(SECTIONS, evidence)


def test_manifest_is_that_of_the_store(protocol, evidence, tables):
    committed = json.loads((FOLDER / MANIFEST).read_text(encoding="utf-8"))
    assert committed == manifest(protocol, evidence, tables, committed["figures"])


def test_ledger_is_what_the_store_says(claims):
    pd.testing.assert_frame_equal(read_ledger(LEDGER), claims, check_exact=False, rtol=1e-4)


def test_verdicts_and_numbers_are_those_of_the_code_that_was_frozen(claims):
    """The first study is closed: whatever the code is called and wherever it stands, this is what it gives."""
    frozen = FOLDER / FROZEN_CLAIMS
    assert len(pd.read_csv(frozen)) == len(claims)
    assert other_than_frozen(claims, frozen) == []
    changed = claims.copy()
    changed.loc["inversion", "high"] = -0.001
    changed.loc["layers", "verdict"] = OPEN
    assert other_than_frozen(changed.drop("ct"), frozen) == ["ct", "layers", "inversion"]


def test_ledger_is_that_of_the_second_analysis(claims, first_study):
    assert_same(claims, second_ledger(first_study, claims))


def test_tables_are_what_the_store_says_and_no_others_lie_beside_them(tables, tmp_path):
    write_tables(tables, tmp_path)
    committed = json.loads((FOLDER / MANIFEST).read_text(encoding="utf-8"))["tables"]
    for name in committed:
        pd.testing.assert_frame_equal(pd.read_csv(FOLDER / "tables" / f"{name}.csv"),
                                      pd.read_csv(tmp_path / f"{name}.csv"), check_exact=False, rtol=1e-4)
    record = FOLDER / "record"
    of_notebooks = {table["name"] for path in record.glob("*.json")
                    for table in json.loads(path.read_text(encoding="utf-8"))["tables"]}
    assert {path.stem for path in (FOLDER / "tables").glob("*.csv")} == set(committed) | of_notebooks


def test_report_of_the_notebooks_is_made_of_the_trials_of_the_manifest():
    committed = json.loads((FOLDER / MANIFEST).read_text(encoding="utf-8"))
    record = json.loads((FOLDER / "run-record.json").read_text(encoding="utf-8"))
    assert record["evidence"] == {name: committed[name] for name in record["evidence"]}
    assert {"trials sha256", "accesses to the published test set"} <= set(record["evidence"])
    # One library made all pages.
    assert len({entry["git commit"] for entry in record["notebooks"].values()}) == 1


def test_figures_are_those_of_the_manifest():
    committed = json.loads((FOLDER / MANIFEST).read_text(encoding="utf-8"))["figures"]
    found = {path.stem for path in (FOLDER / "figures" / "evidence").iterdir()}
    assert found == set(committed)


def test_every_trial_of_the_store_stands_in_an_arm(evidence):
    """So that nothing was trained and left out because of what came of it."""
    keys = set(open_store(STORE).finished_keys())
    assert keys == {result.trial.key for results in evidence.finished.values() for result in results}


def test_every_scoring_of_the_test_set_was_entered_and_none_is_kept_back(protocol, evidence):
    scored = {result.trial.key for results in evidence.finished.values() for result in results
              if result.trial.score_test and not result.diverged}
    scores = evidence.further[BASELINE]
    baseline = set() if scores is None else set(scores["model"])
    assert set(read_access_log(protocol)["scored"]) == scored | baseline


def test_no_image_and_no_trace_of_a_machine():
    for path in FOLDER.rglob("*"):
        relative = path.relative_to(FOLDER).as_posix()
        if not path.is_file() or relative.startswith(("figures/images/", "logs/", "pilot/", "store/unfinished/",
                                                      "notebooks/", "scores/")):
            continue
        assert path.suffix.lower() not in (".jpeg", ".jpg", ".dcm"), relative
        if path.suffix not in (".png", ".gz", ".html", ".xz"):
            found = MACHINE.search(path.read_text(encoding="utf-8"))
            assert not found, f"{relative}: {found}"
    packed = packed_files(STORE)
    assert len(packed) > 800
    assert not [name for name, content in packed.items() if MACHINE.search(content.decode())]


def test_a_changed_table_is_noticed(claims, tmp_path):
    """The comparison above can fail."""
    copy = shutil.copy(LEDGER, tmp_path / "claims.csv")
    text = copy.read_text(encoding="utf-8")
    copy.write_text(text.replace("reproduced", "supported", 1), encoding="utf-8")
    with pytest.raises(AssertionError):
        pd.testing.assert_frame_equal(read_ledger(copy), claims, check_exact=False, rtol=1e-4)


def test_tables_for_people_have_no_endless_numbers():
    for path in (FOLDER / "tables").glob("*.md"):
        # Of a number below 0.001 the zeros do not count.
        found = re.search(r"\b(?!0\.000)\d+\.\d{7}|\b0\.0*[1-9]\d{6}", path.read_text(encoding="utf-8"))
        assert not found, f"{path.name}: {found}"

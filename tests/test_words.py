"""What README and notebooks say in words of the committed evidence: that it follows from its tables."""

import re

import pandas as pd

from covidcnn import paper
from covidcnn.evidence.floor import RIDGE
from covidcnn.evidence.ledger import read_ledger, summary_sentence
from covidcnn.evidence.protocol import PROTOCOL
from covidcnn.evidence.verdicts import COMPATIBLE, NOT_REPRODUCED
from covidcnn.paths import PROJECT


def table(name: str, index: str = "optimizer") -> pd.DataFrame:
    return pd.read_csv(PROTOCOL.parent / "tables" / f"{name}.csv", index_col=index)


def test_readme_says_what_the_ledger_says():
    readme = " ".join((PROJECT / "README.md").read_text(encoding="utf-8").split())
    assert summary_sentence(read_ledger()) in readme


def test_numbers_of_the_readmes_results_are_those_of_the_tables():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    results = readme[readme.index("Six optimizers as the paper describes"):readme.index("What is not finished")]

    reached, ranks = table("1-as-published"), table("1-as-published-ranks")["rank 1"]
    nadam, floor = reached.loc["Nadam"], table("8-floor", "model")
    ridge = floor[floor["scored on"] == "test"].loc[RIDGE]
    said = [
        f"at 224 px, {('zero', 'one', 'two', 'three', 'four', 'five')[int(nadam['seeds'])]} seeds each",
        f"Nadam's median is {nadam['accuracy']:.3f}, its seeds range from {nadam['lowest']:.3f} to "
        f"{nadam['highest']:.3f}, and a new run would lie between {nadam['new run, low']:.3f} and "
        f"{nadam['new run, high']:.3f}; the paper has {paper.OPTIMIZER_TABLE.loc['Nadam', 'test accuracy']:.3f}",
        f"16 × 16 pixels reaches {ridge['accuracy']:.3f}",
        f"lies {100 * (nadam['highest'] - nadam['lowest']):.1f} points above its worst",
        f"{ranks.idxmax()} comes first with a probability of {ranks.max():.2f}, Nadam with {ranks['Nadam']:.2f}",
        f"calls {nadam['specificity, validation']:.3f} healthy on validation and {nadam['specificity']:.3f} on test",
    ]
    for words in said:
        assert words in results
        results = results.replace(words, "")
    assert not re.search(r"\d", re.sub(r"\(reports/[^)]*\)", "", results))
    verdicts = read_ledger()["verdict"]
    assert verdicts["nadam-accuracy"] == NOT_REPRODUCED
    assert (table("1-as-published-nadam", "rival")["p, Holm"] > 0.05).all()
    assert 0.3 < nadam["specificity"] < 0.37, "two of three healthy children are called ill"


def test_notebook_05_on_six_optimizers():
    reached, nadam = table("1-as-published"), table("1-as-published-nadam", "rival")
    published = paper.OPTIMIZER_TABLE["test accuracy"]
    above = published > reached["new run, high"].loc[published.index]
    assert published.index[~above].tolist() == ["Adadelta"] == [published.idxmin()]
    spread, of_the_paper = reached["highest"] - reached["lowest"], published.nlargest(5)
    assert spread.index[spread > 0.12].tolist() == ["Nadam", "RMSprop"] == published.nlargest(2).index.tolist()
    assert 1.8 < spread.loc["Nadam"] / (of_the_paper.max() - of_the_paper.min()) < 2
    assert reached["standard deviation"].loc[["Nadam", "RMSprop"]].round(2).tolist() == [0.05, 0.05]
    assert reached["accuracy"].idxmax() == "SGD"
    assert nadam["mean difference"].loc[["RMSprop", "SGD"]].round(3).tolist() == [0.008, -0.064]
    assert (nadam["p, Holm"] > 0.05).all()


def test_notebook_05_on_pairs_of_models():
    pairs = table("1-as-published-pairs", "rival").loc["RMSprop"]
    assert (pairs["p of the pair"] < 0.001).all()
    assert (pairs["only Nadam right"] > pairs["only the rival right"]).tolist() == [False, True, False, True, True]


def test_notebook_06_on_the_final_model():
    claims = read_ledger()
    verdicts = claims.loc[[f"final-{name}" for name in paper.FINAL_METRICS], "verdict"]
    assert verdicts.pop("final-sensitivity") == COMPATIBLE
    assert set(verdicts) == {NOT_REPRODUCED}
    assert len(verdicts) == 4
    assert round(claims.loc["generalisation", "value"], 2) == -0.19
    assert table("1-as-published").loc["Nadam", "sensitivity"] > paper.FINAL_METRICS["sensitivity"]


def test_notebook_01_on_the_floor():
    found = read_ledger().loc["deep-against-simple"]
    assert round(found["value"], 2) == -0.06
    assert 0 < found["high"] < 0.02
    assert found["seeds"] == 5

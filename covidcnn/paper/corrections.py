"""What the first study said once it was closed and turned out to be too little or too much.

Its protocol, its trainings and its frozen verdicts stay as they were; the ledger's page has these beside them. All but
the list of tables is computed from the protocol and the store. A recomputation that used none of this code noticed it.
"""

from covidcnn.evaluation.weighted_metrics import METRICS, accuracy, accuracy_of_any_threshold
from covidcnn.paper.causes import small_validation_fluctuates
from covidcnn.paper.claims import PUBLISHED
from covidcnn.paper.notebook_tables import new_seeds_table
from covidcnn.study.conditions import Evidence
from covidcnn.study.protocol import Protocol
from covidcnn.study.verdicts import shown
from covidcnn.yaml_files import read_yaml

UNMARKED = {"designs_auc": (9,), "designs_differences": (9, 10), "sizes_differences": (10,), "cure_differences": (10,),
            "evidence_again": (10,), "evidence_new_seeds": (10, 11)}
"""Tables of notebooks, the last but one also a figure, whose captions did not say that these arms are exploratory."""


def corrections(evidence: Evidence, protocol: Protocol) -> list[str]:
    """A paragraph each, in Markdown; none of an arm that is not finished."""
    needed = {_captions: ("9-published-validation", "10-processor", "11-new-seeds"),
              _augmentation: ("4a-treatments",), _fluctuation: ("5-validation-designs",),
              _new_seeds: (PUBLISHED, "10-processor", "11-new-seeds")}
    found = [say(evidence) for say, arms in needed.items() if set(arms) <= set(evidence.arms)]
    return [_budget(protocol), *found] if found else []


def _budget(protocol: Protocol) -> str:
    hours = read_yaml(protocol.path)["budget in hours"]
    later = sum(hours[name] for name, arm in protocol.arms.items() if arm.exploratory)
    return (f"**Budget.** The README gave 18 hours as the protocol's budget. Its arms sum to {sum(hours.values()):.1f} "
            f"hours; {later:.1f} of them are those of exploratory arms, which were added later.")


def _captions(evidence: Evidence) -> str:
    tables = [f"`{name}` ({'arm' if len(arms) == 1 else 'arms'} {' and '.join(map(str, arms))})"
              for name, arms in UNMARKED.items()]
    return (f"**Captions.** {len(tables)} tables of notebooks 05 to 07 rest on exploratory arms, and their captions "
            f"did not say so: {', '.join(tables)}; nor did the figure `evidence_again`. The notebooks say it now.")


def _augmentation(evidence: Evidence) -> str:
    arm = evidence.arms["4a-treatments"]
    with_it, without = (arm.condition(balance="none", augmentation=name) for name in ("paper", "none"))
    at_half, at_best, auc = (shown(arm.difference(with_it, without, metric))
                             for metric in (accuracy, accuracy_of_any_threshold, METRICS["AUC"]))
    return ("**'What does help is the paper's augmentation'**, as an earlier README had it, is true at threshold 0.5 "
            f"only. There flips and shifts change accuracy on test by {at_half}. At the threshold that is best on test "
            f"itself they change it by {at_best}. AUC they change by {auc}. So a boundary moved; that the network "
            "sorts test images better is not shown. The rows *augmentation improved the model* and *flips and shifts "
            "make up for the imbalance* are of 0.5, and say so.")


def _fluctuation(evidence: Evidence) -> str:
    as_fixed, from_first = (small_validation_fluctuates("5-validation-designs", evidence, *settling)
                            for settling in ((), (0,)))
    return ("**Fluctuation.** Jumps of validation accuracy are counted from the third epoch on, by the protocol, which "
            f"gives {as_fixed.ours}, {as_fixed.verdict}. Counted from the first epoch on they give {from_first.ours}, "
            f"{from_first.verdict}. The verdict stays as the rule has it, and hangs on that choice.")


def _new_seeds(evidence: Evidence) -> str:
    first, again, new = (evidence.arms[name].condition(**settings) for name, settings in (
        (PUBLISHED, {"optimizer": "Nadam"}), ("10-processor", {"max_training_images": 5216}),
        ("11-new-seeds", {})))
    low, high = new_seeds_table(new, {"arm 1": first}).loc["arm 1", ["low", "high"]]
    above = again.values(accuracy).mean() - first.values(accuracy).mean()
    return ("**Arm 11's rule** suspects the kind of processor if arm 11 is nearer to arm 10 than to arm 1, and its "
            "interval against arm 1 excludes zero. With the spreads that came out, only a difference of more than "
            f"{(high - low) / 2:.4f} could have excluded it; arm 10 itself lies {above:.4f} above arm 1. So the rule "
            "could have found an effect as large as arm 10's, and none that is a good deal smaller.")

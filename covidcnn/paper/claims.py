"""The paper's claims, each with the place that shows it and the function that tests it.

What decides about a claim was fixed in ``reports/paper/protocol.yaml``; how it is computed stands in ``findings`` and
``causes``. A claim with an arm is tested on the trials of that arm, any other on the paper's own text, the published
files or the network as it is built.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from covidcnn.evaluation.weighted_metrics import accuracy, log_loss, specificity
from covidcnn.paper import causes, findings, reported
from covidcnn.paper.baseline_scores import BASELINE
from covidcnn.study.conditions import Evidence
from covidcnn.study.ledger import Claim
from covidcnn.study.verdicts import CANNOT_BE_TESTED, CONTRADICTION, Finding

PUBLISHED, TUNING, FAIR, PREPROCESSING, TREATMENTS, SHARES, TREATMENTS_224, DESIGNS, ASSUMPTIONS = (
    "1-as-published", "2a-tuning", "2b-fair", "3-preprocessing", "4a-treatments", "4b-shares", "4c-treatments-224",
    "5-validation-designs", "6-assumptions")


def _known(verdict: str, finding: str) -> Callable[[Evidence], Finding]:
    """What follows from the paper or the published files alone."""
    return lambda _: Finding(verdict, finding)


_ACCURACY = "test accuracy at 0.5"
_ABOUT = (
    Claim("covid-19", "title, abstract", "the model diagnoses COVID-19", "", "01_data_inspection#not-covid",
          _known(CONTRADICTION, "the images were published in 2018; no case of COVID-19 can be among them")),
    Claim("ct", "title, abstract", "the images are CT images", "", "01_data_inspection#not-covid",
          _known(CONTRADICTION, "its section 'Dataset' says chest X-rays, and so they are")),
    Claim("abstract-accuracy", "abstract", "accuracy of up to 92.80 %", "92.80 %", "06_evaluation#reconstruct",
          _known(CONTRADICTION, "in its results 92.80 % stands where precision is described; the accuracy is 92.79 %")),
    Claim("one-evaluation", "'Tables 2 and 3', results", "the accuracy of the model with Nadam", "0.9263, 92.79 %",
          "05_optimizer_comparison#tables-2-3",
          _known(CANNOT_BE_TESTED, "578 and 579 images of 624: two evaluations, and no word on how they differ")),
    Claim("images", "Dataset", "5,863 images", f"{reported.IMAGES_IN_TEXT:,}", "01_data_inspection#paper-on-data",
          findings.image_count),
    Claim("training-counts", "Dataset", "NORMAL and PNEUMONIA images in the training set", "1341, 3875",
          "01_data_inspection#fig-02", partial(findings.counts, "train", reported.TRAIN_COUNTS)),
    Claim("training-shares", "Dataset, Fig. 2", "shares of the classes in the training set", "25.7 %, 74.3 %",
          "01_data_inspection#fig-02", partial(findings.shares, "train", (25.7, 74.3))),
    Claim("test-counts", "Dataset", "NORMAL and PNEUMONIA images in the test set", "234, 390",
          "01_data_inspection#fig-02", partial(findings.counts, "test", reported.TEST_COUNTS)),
    Claim("test-shares", "Dataset, Fig. 2", "shares of the classes in the test set", "37.5 %, 62.5 %",
          "01_data_inspection#fig-02", partial(findings.shares, "test", (37.5, 62.5))),
    Claim("layers", "Model structure", "14 layers", str(reported.LAYERS_IN_TEXT), "04_model_building#layer-count",
          findings.layer_total),
    *(Claim(name, "Model structure", statement, value, cell, partial(findings.described, part, value))
      for name, statement, value, cell, part in (
          ("input-shape", "shape of the input", "(224, 224, 1)", "04_model_building#fig-10", "input"),
          ("layer-list", "convolution, pooling, batch normalisation, dropout and dense layers", "4, 4, 4, 2, 2",
           "04_model_building#layer-count", "layers"),
          ("first-layer", "kernels of the first convolution, and their size", "32 x 3 x 3",
           "04_model_building#table-1", "first convolution"),
          ("pooling", "the window of maximum pooling", "2 x 2", "04_model_building#table-1", "pooling"),
          ("dense", "the fully connected layer", "128, relu", "04_model_building#table-1", "dense"),
          ("output", "the output layer", "1, sigmoid", "04_model_building#table-1", "output"))),
    Claim("table-1", "Fig. 10, 'Table 1'", "output shape and parameters of every layer", "",
          "04_model_building#table-1",
          _known(CANNOT_BE_TESTED, "filters of layers two to four, dropout rates and their places are not in the text; "
                                   "arm 6 varies the filters, and the dropout against none")),
    Claim("f1-follows", "Eq. 10", "F1 follows from precision and recall", str(reported.FINAL_METRICS["f1"]),
          "06_evaluation#reconstruct-code", findings.f1_follows),
    Claim("one-matrix", "Fig. 11", "the five metrics belong to one confusion matrix of 624 images", "",
          "06_evaluation#reconstruct-code", findings.one_matrix),
    Claim("balanced", "Conclusion", "the data set was balanced", "", "03_augmentation#class-weights",
          _known(CONTRADICTION, "the only means it describes, flips and shifts, show every image once an epoch: the "
                                "shares stay 25.7 and 74.3 %")),
    Claim("ages", "Dataset", "children of one to five years", "one to five", "01_data_inspection#paper-on-data",
          _known(CANNOT_BE_TESTED, "the ages of the single children are not published")),
    Claim("deep-against-deep", "Conclusion", "other deep models, EfficientNet among them, may do better", "",
          "06_evaluation#verdicts-table", _known(CANNOT_BE_TESTED, "named as future work; the paper gives no number")),
    Claim("labels", "Conclusion", "a student-teacher model can label images by itself", "",
          "06_evaluation#verdicts-table", _known(CANNOT_BE_TESTED, "named as future work; the paper gives no number")),
    Claim("clinic", "Introduction, literature review", "such models help clinicians to diagnose", "",
          "06_evaluation#verdicts-table",
          _known(CANNOT_BE_TESTED, "no physician, patient or decision was observed, in the paper or here")),
)

_OPTIMIZERS_CELL, _ORDER_CELL = "05_optimizer_comparison#evidence-figure", "05_optimizer_comparison#order-table"
_OPTIMIZERS = tuple(
    Claim(f"{optimizer.lower()}-{quantity}", "'Tables 2 and 3'", f"test {quantity} with {optimizer}", f"{value:g}",
          "05_optimizer_comparison#tables-2-3",
          partial(findings.value_of_one_run, PUBLISHED, value, optimizer, quantity), (PUBLISHED,),
          _ACCURACY if quantity == "accuracy" else "test loss (Eq. 5)",
          _OPTIMIZERS_CELL if quantity == "accuracy" else "", {"optimizer": optimizer})
    for quantity in ("accuracy", "loss") for optimizer, value in reported.OPTIMIZER_TABLE[f"test {quantity}"].items())

_FINAL = tuple(
    Claim(f"final-{metric}", "Results" if metric != "f1" else "Confusion matrix", f"{metric} of the final model",
          f"{100 * value:.2f} %" if metric != "f1" else str(value), "06_evaluation#intervals-table",
          partial(findings.value_of_one_run, PUBLISHED, value, "Nadam", metric), (PUBLISHED,),
          f"test {metric} at 0.5, with Nadam", _OPTIMIZERS_CELL if metric == "accuracy" else "", {"optimizer": "Nadam"})
    for metric, value in reported.FINAL_METRICS.items())


def _assumed(setting: str, other: Any) -> partial:
    """The network as assumed, the arm's first condition, against that with one setting changed."""
    return partial(findings.better, ASSUMPTIONS, {}, {setting: other}, accuracy)


_PLAIN, _FLIPS = ({"balance": "none", "augmentation": name} for name in ("none", "paper"))
_ASSUMPTIONS_CELL, _DIFFERENCES_CELL = "04_model_building#evidence-figure", "07_false_alarms#condition-differences"
_RANKING = (
    Claim("nadam-best", "'Tables 2 and 3'", "Nadam is the best optimizer: highest test accuracy", "0.9263",
          _ORDER_CELL, partial(findings.nadam_is_best, PUBLISHED, "accuracy"), (PUBLISHED,),
          f"{_ACCURACY}: Nadam - the rival", _OPTIMIZERS_CELL),
    Claim("nadam-lowest-loss", "'Tables 2 and 3'", "Nadam is the best optimizer: lowest test loss", "0.2109",
          _ORDER_CELL, partial(findings.nadam_is_best, PUBLISHED, "loss"), (PUBLISHED,),
          "logarithm of test loss: the rival - Nadam", "05_optimizer_comparison#tables-2-3"),
    Claim("nadam-best-tuned", "'Tables 2 and 3'", "Nadam is the best optimizer, each at a learning rate of its own", "",
          _ORDER_CELL, partial(findings.tuned_nadam_is_best, FAIR, TUNING), (FAIR,),
          f"{_ACCURACY}: Nadam - the rival", _OPTIMIZERS_CELL),
    *(Claim(f"lead-over-{rival.lower()}", "'Tables 2 and 3'", f"Nadam's lead over {rival}, in test accuracy",
            f"{findings.paper_lead(rival):+.4f}", "05_optimizer_comparison#interval-table",
            partial(findings.nadam_lead, PUBLISHED, rival), (PUBLISHED,),
            f"{_ACCURACY}: Nadam - {rival}, both of one seed", _OPTIMIZERS_CELL)
      for rival in reported.OPTIMIZER_TABLE.index if rival != "Nadam"),
    Claim("nadam-converges-faster", "Model compilation", "Nadam can converge faster (here: fastest of the six)", "",
          "05_optimizer_comparison#curves-figure", partial(findings.nadam_converges_faster, PUBLISHED), (PUBLISHED,),
          "training loss, mean of all epochs: the rival - Nadam; the claim is taken in its strongest sense"),
    Claim("rmsprop-overconfident", "'Tables 2 and 3'", "RMSprop has a higher loss than Adadelta, the last by accuracy "
          "(follows from the table)", "0.5744, 0.4621", "05_optimizer_comparison#beside-figure",
          partial(findings.better, PUBLISHED, {"optimizer": "RMSprop"}, {"optimizer": "Adadelta"}, log_loss),
          (PUBLISHED,), "logarithm of test loss: RMSprop - Adadelta"),
    *(Claim(name, where, f"processing for a better training effect: {transform}", "", f"02_preprocessing#{cell}",
            partial(findings.better, PREPROCESSING, {"preprocess": variant}, {"preprocess": "plain"}, accuracy),
            (PREPROCESSING,), f"{_ACCURACY}: {done} - plain", "02_preprocessing#evidence-figure")
      for name, where, transform, cell, variant, done in (
          ("equalisation", "Pre-processing, conclusion", "histogram equalisation", "fig-04-reading", "equalize",
           "equalised"),
          ("inversion", "Pre-processing", "greyscale inversion", "inversion-reading", "invert", "inverted"))),
    Claim("augmentation-improves", "Conclusion", "augmentation improved the model", "", "03_augmentation#effects-table",
          partial(findings.better, TREATMENTS, _FLIPS, _PLAIN, accuracy), (TREATMENTS,),
          f"{_ACCURACY}: with flips and shifts - without", _DIFFERENCES_CELL),
    Claim("depth", "Conclusion", "more convolution layers improved the model (here: four against three)", "",
          "04_model_building#assumptions", _assumed("filters", (32, 64, 128)), (ASSUMPTIONS,),
          f"{_ACCURACY}: four layers - three", _ASSUMPTIONS_CELL),
    Claim("batch-normalisation", "Model structure, conclusion", "batch normalisation improved the model", "",
          "04_model_building#tanh-text", _assumed("batch_norm", False), (ASSUMPTIONS,),
          f"{_ACCURACY}: with it - without", _ASSUMPTIONS_CELL),
    Claim("dropout", "Model structure", "dropout improves generalisation", "", "04_model_building#dropout",
          _assumed("dropout", 0.0), (ASSUMPTIONS,), f"{_ACCURACY}: with a rate of 0.2 - without", _ASSUMPTIONS_CELL),
    Claim("deep-against-simple", "Literature review", "deep networks beat traditional machine learning (here: Nadam's "
          "network against ridge on 16 x 16 pixels)", "", "01_data_inspection#baseline-scores",
          partial(findings.beats_the_baseline, PUBLISHED), (PUBLISHED, BASELINE),
          f"{_ACCURACY}: Nadam - ridge", _OPTIMIZERS_CELL),
)


def weights(augmentation: str) -> tuple[findings.Settings, findings.Settings]:
    """What ``causes.imbalance`` compares: trainings without balancing, and with class weights."""
    unbalanced, balanced = ({"augmentation": augmentation, "balance": balance} for balance in ("none", "class-weight"))
    return unbalanced, balanced


_SHARES = tuple({"training_draw": (1500, share)} for share in (0.26, 0.5))


def _half_ended(balanced: str) -> str:
    return (f"at 0.5. 'Balancing ends half of them': test specificity gained with {balanced} - half of the false "
            "alarms, below 0 where it falls short; 'validation has half of them': false alarms on validation - half of "
            "those on test")


def _half_left(balanced: str) -> str:
    return ("specificity, each training at its threshold from validation: half of what is lost between validation and "
            f"test - what is lost with {balanced}; below 0 where it ends less than half")


def _rise(what: str) -> str:
    return f"rise of the logarithm of validation loss from the middle epochs to the last: without {what} - with"


_EFFECTS_CELL, _OVER_FITTING_CELL = "03_augmentation#effects-figure", "03_augmentation#over-fitting-table"
_CAUSES = (
    Claim("false-alarms", "Fig. 5", "without processing, many NORMAL images are predicted PNEUMONIA (here: more "
          "than by its final model)", "", "03_augmentation#fig-05",
          partial(causes.many_false_alarms, TREATMENTS), (TREATMENTS,),
          "false alarms at 0.5, a share of the NORMAL test images - the paper's 29 of 234",
          "07_false_alarms#false-alarms"),
    *(Claim(name, "Pre-processing", f"imbalance causes these false alarms ({words})", "", _EFFECTS_CELL,
            partial(rule, arm, *pair), (arm,), measure, cell)
      for name, words, rule, arm, pair, measure, cell in (
          ("imbalance", "here: at least half of them", causes.imbalance, TREATMENTS, weights("none"),
           _half_ended("class weights"), _DIFFERENCES_CELL),
          ("imbalance-224", "the same at 224 px", causes.imbalance, TREATMENTS_224, weights("paper"),
           _half_ended("class weights"), "07_false_alarms#sizes-compared"),
          ("imbalance-shares", "so training on equal shares ends them", causes.imbalance, SHARES, _SHARES,
           _half_ended("50 instead of 26 % NORMAL"), "07_false_alarms#shares"),
          ("imbalance-beyond-threshold", "here: those left when the threshold is set on validation",
           causes.imbalance_beyond_threshold, TREATMENTS, weights("none"), _half_left("class weights"),
           "07_false_alarms#thresholds"),
          ("shares-beyond-threshold", "here: those left when the threshold is set on validation, so that equal shares "
           "end them", causes.imbalance_beyond_threshold, SHARES, _SHARES, _half_left("50 instead of 26 % NORMAL"),
           "07_false_alarms#shares"))),
    Claim("augmentation-cures", "Pre-processing", "flips and shifts make up for the imbalance (here: fewer false "
          "alarms)", "", "03_augmentation#effects-table",
          partial(findings.better, TREATMENTS, _FLIPS, _PLAIN, specificity), (TREATMENTS,),
          "test specificity at 0.5: with flips and shifts - without", _DIFFERENCES_CELL),
    Claim("augmentation-over-fitting", "Pre-processing", "augmentation prevents over-fitting", "", _OVER_FITTING_CELL,
          partial(causes.prevents_over_fitting, TREATMENTS, _PLAIN, _FLIPS), (TREATMENTS,), _rise("flips and shifts")),
    Claim("imbalance-over-fitting", "Pre-processing", "imbalance makes for over-fitting", "", _OVER_FITTING_CELL,
          partial(causes.prevents_over_fitting, TREATMENTS, *weights("none")), (TREATMENTS,), _rise("class weights")),
    Claim("dropout-over-fitting", "Model structure", "dropout prevents over-fitting", "",
          "04_model_building#verdicts-table",
          partial(causes.prevents_over_fitting, ASSUMPTIONS, {"dropout": 0.0}, {}), (ASSUMPTIONS,), _rise("dropout")),
    Claim("convergence", "Evaluation, Fig. 12", "training accuracy and loss converge (here: both end better than "
          "they begin)", "", "06_evaluation#fig-12-figure",
          partial(causes.training_converges, PUBLISHED), (PUBLISHED,),
          "on training images, with Nadam: from the first epoch to the last, which can hardly fail",
          settings={"optimizer": "Nadam"}),
    Claim("fluctuation", "Evaluation, Fig. 12", "validation accuracy fluctuates because validation is small "
          "(so a larger one halves it)", "", "06_evaluation#fig-12",
          partial(causes.small_validation_fluctuates, DESIGNS), (DESIGNS,),
          "jump of balanced validation accuracy from epoch to epoch: half of that on the 16 published images - "
          "that with a patient-level split; of so few images nearly arithmetic", "06_evaluation#designs-reading"),
    Claim("generalisation", "Model structure", "the model generalises well (here: accuracy on test is that on "
          "validation, within two percentage points)", "", "06_evaluation#thresholds-table",
          partial(causes.generalises, PUBLISHED), (PUBLISHED,),
          "accuracy at 0.5, with Nadam: test - validation, both with the class shares of test",
          "06_evaluation#learnt", {"optimizer": "Nadam"}),
)

_TRIVIAL = ("images", "training-counts", "training-shares", "test-counts", "test-shares", "input-shape", "layer-list",
            "first-layer", "pooling", "dense", "output", "f1-follows", "convergence")
_REPEATS = {
    "final-accuracy": "nadam-accuracy", **{f"final-{metric}": "final-accuracy" for metric in reported.FINAL_METRICS
                                           if metric != "accuracy"},
    **{f"lead-over-{rival.lower()}": "nadam-best" for rival in reported.OPTIMIZER_TABLE.index if rival != "Nadam"},
    "abstract-accuracy": "final-accuracy", "one-evaluation": "final-accuracy", "imbalance-224": "imbalance",
    "imbalance-shares": "imbalance", "imbalance-beyond-threshold": "imbalance", "shares-beyond-threshold": "imbalance",
    "augmentation-cures": "augmentation-improves"}


def _counts_as(name: str) -> str:
    """Five metrics of one matrix, for example, are one finding."""
    return "trivial" if name in _TRIVIAL else f"repeats {_REPEATS[name]}" if name in _REPEATS else "a finding"


SECTIONS: dict[str, tuple[Claim, ...]] = {
    section: tuple(replace(claim, counts_as=_counts_as(claim.name)) for claim in claims) for section, claims in {
        "What the paper, its data and its network say by themselves": _ABOUT,
        "Values of one run": _OPTIMIZERS + _FINAL,
        "One better than another": _RANKING,
        "Causes and behaviour": _CAUSES,
    }.items()}
CLAIMS: tuple[Claim, ...] = tuple(chain.from_iterable(SECTIONS.values()))

"""The paper's claims, each with the place that shows it and the function that tests it.

What decides about a claim was fixed in ``reports/paper/protocol.yaml``; how it is computed stands in ``findings``. A
claim with an arm is tested on the trials of that arm, any other on the paper's own text, the published files or the
network as it is built.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from covidcnn import paper
from covidcnn.evidence import findings
from covidcnn.evidence.floor import FLOOR
from covidcnn.evidence.results import Evidence
from covidcnn.evidence.verdicts import CANNOT_BE_TESTED, CONTRADICTION, Finding

PUBLISHED, FAIR, PREPROCESSING, TREATMENTS, SHARES, TREATMENTS_224, DESIGNS, ASSUMPTIONS = (
    "1-as-published", "2b-fair", "3-preprocessing", "4a-treatments", "4b-shares", "4c-treatments-224",
    "5-validation-designs", "6-assumptions")


@dataclass(frozen=True)
class Claim:
    """One statement of the paper."""

    name: str
    """Short, in words joined by hyphens; stays the same from report to report."""
    where: str
    """In the paper."""
    statement: str
    value: str
    """What the paper gives, as it prints it; empty where it gives no number."""
    cell: str
    """The notebook cell that shows it: 'NN_notebook#cell-id'."""
    find: Callable[[Evidence], Finding]
    arms: tuple[str, ...] = ()
    """Of the protocol, on whose trials it rests; empty for what no training decides."""


def _known(verdict: str, finding: str) -> Callable[[Evidence], Finding]:
    """What follows from the paper or the published files alone."""
    return lambda _: Finding(verdict, finding)


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


_ABOUT = (
    Claim("covid-19", "title, abstract", "the model diagnoses COVID-19", "", "01_data_inspection#not-covid",
          _known(CONTRADICTION, "the films were published in 2018; no case of COVID-19 can be among them")),
    Claim("ct", "title, abstract", "the images are CT images", "", "01_data_inspection#not-covid",
          _known(CONTRADICTION, "its section 'Dataset' says chest X-rays, and so they are")),
    Claim("abstract-accuracy", "abstract", "accuracy of up to 92.80 %", "92.80 %", "06_evaluation#reconstruct",
          _known(CONTRADICTION, "its results give 92.80 % as the precision, and 92.79 % as the accuracy")),
    Claim("one-evaluation", "'Tables 2 and 3', results", "the accuracy of the final model, which is Nadam's",
          "0.9263, 92.79 %", "05_optimizer_comparison#tables-2-3",
          _known(CONTRADICTION, "578 and 579 films of 624: two evaluations, and only one is the final model's")),
    Claim("images", "Dataset", "5,863 images", f"{paper.IMAGES_IN_TEXT:,}", "01_data_inspection#paper-on-data",
          findings.image_count),
    Claim("training-counts", "Dataset", "NORMAL and PNEUMONIA films in the training set", "1341, 3875",
          "01_data_inspection#fig-02", partial(findings.counts, "train", paper.TRAIN_COUNTS)),
    Claim("training-shares", "Dataset, Fig. 2", "shares of the classes in the training set", "25.7 %, 74.3 %",
          "01_data_inspection#fig-02", partial(findings.shares, "train", (25.7, 74.3))),
    Claim("test-counts", "Dataset", "NORMAL and PNEUMONIA films in the test set", "234, 390",
          "01_data_inspection#fig-02", partial(findings.counts, "test", paper.TEST_COUNTS)),
    Claim("test-shares", "Dataset, Fig. 2", "shares of the classes in the test set", "37.5 %, 62.5 %",
          "01_data_inspection#fig-02", partial(findings.shares, "test", (37.5, 62.5))),
    Claim("layers", "Model structure", "14 layers", str(paper.LAYERS_IN_TEXT), "04_model_building#layer-count",
          findings.layer_total),
    Claim("layer-list", "Model structure", "convolution, pooling, batch normalisation, dropout and dense layers",
          ", ".join(map(str, paper.LAYER_LIST.values())), "04_model_building#layer-count", findings.layer_list),
    Claim("input-shape", "Model structure", "the input is grey, 224 x 224", "(224, 224, 1)",
          "04_model_building#fig-10", findings.input_shape),
    Claim("first-layer", "Model structure", "the first convolution has 32 kernels of 3 x 3", "32 x 3 x 3",
          "04_model_building#table-1", findings.first_layer),
    Claim("table-1", "Fig. 10, 'Table 1'", "output shape and parameters of every layer", "",
          "04_model_building#table-1",
          _known(CANNOT_BE_TESTED, "filters of layers two to four, dropout rates and their places are not in the text; "
                                   "those assumed here are tested in arm 6")),
    Claim("f1-follows", "Eq. 10", "F1 follows from precision and recall", str(paper.FINAL_METRICS["f1"]),
          "06_evaluation#reconstruct-code", findings.f1_follows),
    Claim("one-matrix", "Fig. 11", "the five metrics belong to one confusion matrix of 624 films", "",
          "06_evaluation#reconstruct-code", findings.one_matrix),
    Claim("balanced", "Conclusion", "the data set was balanced", "", "03_augmentation#class-weights",
          _known(CONTRADICTION, "flips and shifts show every film once an epoch, as before: the shares stay 25.7 and "
                                "74.3 %")),
    Claim("depth", "Conclusion", "more convolution layers improved the model", "", "04_model_building#assumptions",
          _known(CANNOT_BE_TESTED, "no shallower network is described that it could be compared with")),
    Claim("batch-normalisation", "Model structure", "batch normalisation speeds up convergence and stabilises training",
          "", "04_model_building#tanh-text",
          _known(CANNOT_BE_TESTED, "the paper shows no run without it, and says neither by how much nor in what")),
    Claim("deep-against-deep", "Conclusion", "other deep models, EfficientNet among them, may do better", "",
          "06_evaluation#learnt", _known(CANNOT_BE_TESTED, "named as future work; the paper gives no number")),
    Claim("labels", "Conclusion", "a student-teacher model can label films by itself", "", "06_evaluation#learnt",
          _known(CANNOT_BE_TESTED, "named as future work; the paper gives no number")),
    Claim("clinic", "Introduction, literature review", "such models help clinicians to diagnose", "",
          "06_evaluation#learnt",
          _known(CANNOT_BE_TESTED, "no physician, patient or decision was observed, in the paper or here")),
)

_OPTIMIZERS = tuple(
    Claim(f"{optimizer.lower()}-{quantity}", "'Tables 2 and 3'", f"test {quantity} with {optimizer}",
          f"{paper.OPTIMIZER_TABLE.loc[optimizer, f'test {quantity}']:g}", "05_optimizer_comparison#tables-2-3",
          partial(findings.optimizer_value, PUBLISHED, optimizer, quantity), (PUBLISHED,))
    for quantity in ("accuracy", "loss") for optimizer in paper.OPTIMIZER_TABLE.index)

_FINAL = tuple(
    Claim(f"final-{metric}", "Results" if metric != "f1" else "Confusion matrix", f"{metric} of the final model",
          _percent(value) if metric != "f1" else str(value), "06_evaluation#intervals-table",
          partial(findings.final_value, PUBLISHED, metric), (PUBLISHED,))
    for metric, value in paper.FINAL_METRICS.items())

_SUPERIORITY = (
    Claim("nadam-best", "'Tables 2 and 3'", "Nadam is the best optimizer: highest test accuracy", "0.9263",
          "05_optimizer_comparison#order-table", partial(findings.nadam_is_best, PUBLISHED, "accuracy"), (PUBLISHED,)),
    Claim("nadam-lowest-loss", "'Tables 2 and 3'", "Nadam is the best optimizer: lowest test loss", "0.2109",
          "05_optimizer_comparison#order-table", partial(findings.nadam_is_best, PUBLISHED, "loss"), (PUBLISHED,)),
    Claim("nadam-best-tuned", "'Tables 2 and 3'", "Nadam is the best optimizer, each at a learning rate of its own", "",
          "05_optimizer_comparison#order-table", partial(findings.nadam_is_best, FAIR, "accuracy"), (FAIR,)),
    Claim("rmsprop-overconfident", "'Tables 2 and 3'", "RMSprop has a higher loss than Adadelta, last by accuracy",
          "0.5744, 0.4621", "05_optimizer_comparison#beside-figure",
          partial(findings.higher_loss, PUBLISHED, "RMSprop", "Adadelta"), (PUBLISHED,)),
    Claim("false-alarms", "Fig. 5", "without processing, many NORMAL films are called PNEUMONIA", "",
          "03_augmentation#fig-05", partial(findings.many_false_alarms, TREATMENTS), (TREATMENTS,)),
    Claim("imbalance", "Pre-processing", "imbalance causes these false alarms", "", "03_augmentation#effects-figure",
          partial(findings.imbalance, TREATMENTS, {"augmentation": "none"}), (TREATMENTS,)),
    Claim("imbalance-224", "Pre-processing", "imbalance causes these false alarms, at 224 px", "",
          "03_augmentation#effects-figure", partial(findings.imbalance, TREATMENTS_224, {"augmentation": "paper"}),
          (TREATMENTS_224,)),
    Claim("imbalance-shares", "Pre-processing", "more NORMAL films in training, of equally many, mean fewer false "
          "alarms on test, as imbalance predicts", "", "03_augmentation#effects-figure",
          partial(findings.balanced_share, SHARES), (SHARES,)),
    Claim("augmentation-cures", "Pre-processing", "flips and shifts make up for the imbalance: fewer false alarms", "",
          "03_augmentation#effects-table", partial(findings.augmentation_specificity, TREATMENTS), (TREATMENTS,)),
    Claim("augmentation-improves", "Conclusion", "augmentation improved the model", "", "03_augmentation#effects-table",
          partial(findings.augmentation_accuracy, TREATMENTS), (TREATMENTS,)),
    Claim("augmentation-over-fitting", "Pre-processing", "augmentation prevents over-fitting", "",
          "03_augmentation#over-fitting-table", partial(findings.augmentation_gap, TREATMENTS), (TREATMENTS,)),
    Claim("dropout-over-fitting", "Model structure", "dropout prevents over-fitting", "", "04_model_building#dropout",
          partial(findings.dropout_gap, ASSUMPTIONS), (ASSUMPTIONS,)),
    Claim("equalisation", "Pre-processing, conclusion", "histogram equalisation improves the model", "",
          "02_preprocessing#fig-04-reading", partial(findings.preprocessing, PREPROCESSING, "equalize"),
          (PREPROCESSING,)),
    Claim("inversion", "Pre-processing", "greyscale inversion improves the model", "",
          "02_preprocessing#inversion-reading", partial(findings.preprocessing, PREPROCESSING, "invert"),
          (PREPROCESSING,)),
    Claim("convergence", "Evaluation, Fig. 12", "training accuracy and loss converge", "",
          "06_evaluation#fig-12-figure", partial(findings.training_converges, PUBLISHED), (PUBLISHED,)),
    Claim("fluctuation", "Evaluation, Fig. 12", "validation accuracy fluctuates because validation is small", "",
          "06_evaluation#fig-12", partial(findings.small_validation_fluctuates, DESIGNS), (DESIGNS,)),
    Claim("generalisation", "Model structure", "the model generalises well: here, accuracy on test is that on "
          "validation, within two points", "",
          "06_evaluation#thresholds-table", partial(findings.generalises, PUBLISHED), (PUBLISHED,)),
    Claim("deep-against-simple", "Literature review", "deep networks beat traditional machine learning", "",
          "01_data_inspection#floor-scores", partial(findings.beats_the_floor, PUBLISHED), (PUBLISHED, FLOOR)),
)

CLAIMS: tuple[Claim, ...] = _ABOUT + _OPTIMIZERS + _FINAL + _SUPERIORITY

ABOUT_ITS_DATA = ("title, abstract", "Dataset", "Dataset, Fig. 2")
"""Where the paper speaks of its data."""

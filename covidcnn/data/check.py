"""What is wrong with a data set, and what is worth knowing: ``covidcnn data check``."""

from dataclasses import dataclass

import pandas as pd

from covidcnn.data import pneumoniamnist
from covidcnn.data.facts import DUPLICATE_GROUPS
from covidcnn.data.folders import SPLITS
from covidcnn.data.index import Catalogue
from covidcnn.data.sources import (
    CHEST_XRAY,
    PHANTOM,
    PNEUMONIAMNIST,
    Source,
    identify,
    marked_source,
    phantom_identity,
)
from covidcnn.data.splits import TRAINING_SPLITS
from covidcnn.errors import DataError, few
from covidcnn.imaging.files import COLOUR_MODES, IMAGE_ENDINGS
from covidcnn.task import PNEUMONIA, Task, labelled, names_of

_SHORTCUT_AUC = 0.8
"""From this AUC on, what a file's header tells of the class is warned of."""
_FEWEST_OF_A_CLASS = 30
"""Images; of fewer such an AUC comes about by chance."""


@dataclass(frozen=True)
class Findings:
    """The result of examining a catalogue."""

    identity: str
    """A sentence: which known set it is, or how the folder differs."""
    source: Source
    images: pd.DataFrame
    """The readable images, ``label`` as the task has it; as the folders have it where the names do not tell it."""
    counts: pd.DataFrame
    """Images by split (rows) and class (columns)."""
    errors: tuple[str, ...]
    """What keeps the data from being used."""
    warnings: tuple[str, ...]
    """What a user should know before trusting a number."""


def counts_table(images: pd.DataFrame, task: Task = PNEUMONIA) -> pd.DataFrame:
    """Images by split, in the published order, and by class, with totals."""
    table = pd.crosstab(images["split"], images["label"]).reindex(columns=list(task.classes), fill_value=0)
    table = table.loc[[split for split in (*SPLITS, "all") if split in table.index]]
    return table.assign(total=table.sum(axis=1))


def duplicate_groups(images: pd.DataFrame) -> pd.DataFrame:
    """Every image whose bytes occur more than once, with its ``group`` number, sorted by group."""
    repeated = images[images["sha256"].duplicated(keep=False)]
    return (repeated.assign(group=repeated.groupby("sha256", sort=False).ngroup() + 1)
            .sort_values(["group", "path"])[["group", "path", "split", "label", "patient", "sha256"]])


def patients_across_splits(images: pd.DataFrame) -> pd.DataFrame:
    """Images of every patient key that stands in more than one split."""
    splits = images.groupby("patient")["split"].transform("nunique")
    return images.loc[splits > 1, ["patient", "split", "path"]].sort_values(["patient", "split", "path"])


def examine(catalogue: Catalogue) -> Findings:
    """Look for everything that makes a data set unusable or a result doubtful."""
    task, images = catalogue.task, catalogue.images
    errors = [f"{path}: {problem}" for path, problem in catalogue.unreadable.itertuples(index=False)]
    if task.is_binary and not catalogue.positive_is_known:
        errors.append(f"which of {names_of(task.classes)} is the positive class? Add "
                      f"--positive {' or --positive '.join(task.classes)}, the one with the finding")
    of_task, (source, identity), warnings = images, identify(images), []
    try:
        of_task = labelled(images, task)
        errors += _missing_classes(catalogue, of_task)
    except DataError as error:
        errors.append(str(error))
    try:
        if origin := pneumoniamnist.origin_of(catalogue.root, images):
            source, identity, warnings = PNEUMONIAMNIST, origin.sentence, list(origin.warnings)
        if marked := marked_source(catalogue.root):
            source, identity = marked, marked.identity
        if sentence := phantom_identity(catalogue.root):
            source, identity = PHANTOM, sentence
    except DataError as error:
        errors.append(str(error))
    duplicates = duplicate_groups(of_task)
    for _, group in duplicates.groupby("sha256"):
        if group["label"].nunique() > 1:
            # One of each label first.
            paths = group.loc[group["label"].duplicated().sort_values(kind="stable").index, "path"].tolist()
            errors.append(f"{few(paths, ' and ')}: the same image under two labels; remove the wrong one")
    warnings += _duplicate_warnings(duplicates, source is CHEST_XRAY)
    across = patients_across_splits(images)
    if len(across):
        warnings.append(f"{across['patient'].nunique()} patients stand in more than one split, the first "
                        f"{across['patient'].iloc[0]}: results on val or test are too good")
    unknown = images[images["series"] == ""]
    # Of PneumoniaMNIST nobody can say otherwise, and its identity says so.
    if source is not PNEUMONIAMNIST and unknown["patient"].str.startswith("file-").any():
        warnings.append(f"{len(unknown)} file names are not of the published scheme, the first "
                        f"{unknown['path'].iloc[0]}: each is taken as a patient of its own; "
                        "say otherwise with --patients CSV")
    contrary = images[(images["series"] != "") & images["label"].isin(PNEUMONIA.classes)
                     & ((images["subtype"] == "normal") != (images["label"] == "NORMAL"))]
    warnings += [f"{few(paths.tolist())}: the name says {subtype} but the folder {label}"
                 for (subtype, label), paths in contrary.groupby(["subtype", "label"])["path"]]
    warnings += [f"{few(paths.tolist())}: {note}"
                 for note, paths in images[images["note"] != ""].groupby("note")["path"]]
    if catalogue.ignored:
        warnings.append(f"{len(catalogue.ignored)} files are no images by their ending and are passed over, "
                        f"the first {catalogue.ignored[0]}")
    if catalogue.masks:
        warnings.append(f"{len(catalogue.masks)} images are masks by their names or their folders' (mask, "
                        "segmentation, annotation, ground truth) and are left out: "
                        f"{few(catalogue.masks)}; rename them if they are not")
    if catalogue.elsewhere:
        places = [f"{number:,} in {folder}" for folder, number in catalogue.elsewhere.items()]
        of_classes = names_of(task.classes if task.column == "label" else PNEUMONIA.classes)
        folders, remedy = ((names_of(catalogue.splits), "") if catalogue.from_table else
                           (f"{of_classes} (in train, val and test)", ", or name all classes with --task"))
        warnings.append(f"{sum(catalogue.elsewhere.values()):,} images lie outside the folders {folders} and are "
                        f"passed over: {few(places)}; move them there to use them{remedy}")
    for name, count in images["label"].value_counts().items() if catalogue.from_table else ():
        if count == 1:
            path = images.loc[images["label"] == name, "path"].iloc[0]
            warnings.append(f"{path}: the only image of class {name}; if that is a slip, mend it in the table")
    if catalogue.unlabelled:
        warnings.append(f"{catalogue.unlabelled:,} images have no label in the table and are left out")
    if catalogue.no_images:
        warnings.append(f"{len(catalogue.no_images):,} lines of the table name no image of the folder: "
                        f"{few(catalogue.no_images)}; " + (
                            "some may lie outside, as told" if catalogue.elsewhere else
                            "a spreadsheet may have changed names that look like numbers"))
    return Findings(identity, source, of_task, counts_table(of_task, task), tuple(errors), tuple(warnings))


def shortcut_warnings(images: pd.DataFrame, task: Task = PNEUMONIA) -> tuple[str, ...]:
    """What a file tells of its class before a pixel is looked at, among the training images; of more than two classes,
    of each against all others."""
    # Imported here: scikit-learn takes its time, and most folders are opened for something else.
    from sklearn.metrics import roc_auc_score

    train = images[images["split"].isin(TRAINING_SPLITS)]
    endings = "." + train["path"].str.rsplit(".", n=1).str[-1].str.lower()
    endings = endings.where(endings.isin(IMAGE_ENDINGS), ".none")
    measures = {"size in pixels": train["width"] * train["height"], "aspect ratio": train["width"] / train["height"],
                "colour": train["mode"].isin(COLOUR_MODES),
                **{f"file format ({ending[1:]})": endings == ending for ending in endings.unique()}}
    lines: list[str] = []
    for name in task.classes[1:] if task.is_binary else task.classes:
        positive = (train["label"] == name).to_numpy(int)
        if min(positive.sum(), len(positive) - positive.sum()) < _FEWEST_OF_A_CLASS:
            continue
        what = "the classes apart" if task.is_binary else f"{name} from the others"
        for measure, values in measures.items():
            auc = float(roc_auc_score(positive, values))
            auc = max(auc, 1 - auc)
            if auc >= _SHORTCUT_AUC:
                lines.append(f"{measure} alone tells {what} (AUC {auc:.2f} among the training images): a shortcut that "
                             "a model may learn instead of the disease")
    return tuple(lines)


def _missing_classes(catalogue: Catalogue, images: pd.DataFrame) -> list[str]:
    if images.empty:
        return ["no readable image in any class folder; check that the images were copied"]
    found = set(zip(images["split"], images["label"], strict=True))
    # The published val has no image of a virus: as validation it is refused, a patient-level split is not.
    required = [split for split in catalogue.splits if split != "val" or catalogue.task.column == "label"]
    remedy = ("label some in the table as {}" if catalogue.from_table else "add a folder {} with images" if
              catalogue.task.column == "label" else "add images whose names say {}")
    return [f"{split}: no image of class {label}; {remedy.format(label)}"
            for split in required for label in catalogue.task.classes if (split, label) not in found]


def _duplicate_warnings(duplicates: pd.DataFrame, is_published: bool) -> list[str]:
    groups = duplicates["group"].nunique()
    if not groups:
        return []
    surplus = len(duplicates) - groups
    known = f" (known of the published set: {DUPLICATE_GROUPS})" if is_published else ""
    warnings = [f"{groups} groups of identical files{known}, {surplus} surplus copies, the first "
                f"{few(duplicates.loc[duplicates['group'] == 1, 'path'].tolist(), ' = ')}"]
    across = duplicates.groupby("group")["split"].nunique()
    if (across > 1).any():
        warnings.append(f"{int((across > 1).sum())} groups of identical files lie in more than one split: "
                        "results on val or test are too good")
    return warnings

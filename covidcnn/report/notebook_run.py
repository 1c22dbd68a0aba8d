"""A run as a notebook sees it: profile, data set, and the folder that figures and tables go to."""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Image, display
from matplotlib.figure import Figure

from covidcnn.config import Profile, profile_named
from covidcnn.data.dataset import DataSet, open_dataset
from covidcnn.data.sources import PHANTOM
from covidcnn.errors import UserError
from covidcnn.models.registry import DEFAULT_MODEL, model_named
from covidcnn.paths import REPORTS, replacing, require_new_folder, write_json
from covidcnn.plots.style import apply_style, save_picture
from covidcnn.provenance import EXPLORATORY
from covidcnn.report.record import ACCESSES, FURTHER_DATA, LOCK, MADE, RUN_RECORD, entered, read_record, record_path
from covidcnn.task import task_named

if TYPE_CHECKING:
    # Both load TensorFlow, which notebooks that do not train need not wait for.
    from covidcnn.training.recipe import Recipe
    from covidcnn.training.result import Training
    from covidcnn.trials.trial import Trial
    from covidcnn.trials.work import Report, TrialResult

OUT_VARIABLE = "COVIDCNN_OUT"
SKIP_BAD_VARIABLE = "COVIDCNN_SKIP_BAD"
PATIENTS_VARIABLE = "COVIDCNN_PATIENTS"
LABELS_VARIABLE = "COVIDCNN_LABELS"
"""Set by the report runner beside ``COVIDCNN_DATA``: paths stay out of executed notebooks."""

PAPER = "paper"
STORE = "store"
"""Folder of a report's trials, within the report folder."""
EVIDENCE = "Evidence of the studies in reports: real images"
"""Said of what a notebook shows of it, whatever images it runs on."""

Content = Literal["images", "results", "evidence", "schema"]
"""What a figure or table shows: images themselves, results measured on them, the paper profile's results (on published
images, whatever images the notebook runs on), or none of these."""


@dataclass(frozen=True)
class Run:
    """One notebook's part of a report."""

    notebook: str
    profile: Profile
    dataset: DataSet
    folder: Path
    model: str = DEFAULT_MODEL
    """Which one its recipes train."""

    def many_seeds(self) -> "Run":
        """The same run at the scale at which conditions are compared over more seeds; for short profiles itself."""
        return replace(self, profile=self.profile.many_seeds or self.profile)

    def on(self, dataset: DataSet) -> "Run":
        """The same run on another data set, which is entered in the record."""
        self._enter(FURTHER_DATA, {"name": dataset.name, "source": dataset.source.name, "identity": dataset.identity})
        return replace(self, dataset=dataset)

    def recipe(self, **changes: Any) -> "Recipe":
        """The paper's recipe at this profile's scale, for this run's model and its data set's validation, with
        ``changes`` to other settings."""
        from covidcnn.training.recipe import profile_recipe

        own = {"model": self.model, "validation": self.dataset.source.validation}
        return profile_recipe(self.profile, **own | changes)

    def train(self, recipe: "Recipe", seed: int) -> "Training":
        """``covidcnn.training.fit.train`` on this run's data, for the model itself; validation images are scored."""
        from covidcnn.training.fit import train

        # In JupyterLab an interrupted cell is to end there, not with a model that was trained for less.
        return train(self.dataset, recipe, seed, score_roles=("validation",), keep_interrupted=False)

    def trial(self, recipe: "Recipe", seed: int) -> "TrialResult":
        """History and scores (validation and test) of one training, from the report's store of trials.

        What another notebook or an earlier run has finished is read, what was killed goes on. Access to the published
        test set is entered in the run record before it is scored.

        Raises:
            UserError: the training diverged.
        """
        from covidcnn.study.access_log import open_store
        from covidcnn.trials.trial import pin_trial
        from covidcnn.trials.work import train_trial

        def train_and_log(dataset: DataSet, trial: "Trial", folder: Path, report: "Report | None", **teacher: Any
                          ) -> "Training":
            # Before it scores anything; what goes on after it was killed need not be entered again.
            what = (f"{recipe.optimizer}, {recipe.images.preprocess} images, augmentation {recipe.augmentation}, "
                    f"balancing {recipe.balance}, seed {seed}")
            logged = (entry["name"] for path in self.folder.glob("record/*.json")
                      for entry in entered(self.folder, path.stem)[ACCESSES])
            if not (store.has_begun(trial) and what in logged):
                self.log_test_access(what)
            return train_trial(dataset, trial, folder, report, **teacher)

        store = open_store(self.folder / STORE)
        store.prepare()
        has_test = bool((self.dataset.images["split"] == "test").any())
        trial = pin_trial(self.dataset.content_hash, recipe, seed, score_test=has_test, task=self.dataset.task)
        result = store.run(self.dataset, trial, trainer=train_and_log)
        if result.diverged:
            raise UserError(result.diverged)
        return result

    def log_test_access(self, what: str) -> None:
        """Enter in the run record that ``what`` is scored on the published test images, outside the paper
        profile. Entries are only ever added, in later runs too."""
        if self.is_exploratory:
            self._enter(ACCESSES, {"name": what, "time": datetime.now(UTC).isoformat("T", "microseconds")}, add=True)

    def save_figure(self, figure: Figure, name: str, caption: str, content: Content, scores_test: bool = False
                    ) -> None:
        """Save a figure as PNG and SVG, show the saved picture in the notebook, and close the figure.

        Figures of phantom images say so in the picture itself; images of the published set are credited,
        and kept in a folder of their own that no commit takes.

        Args:
            figure: complete.
            name: file name without ending; the paper's number where it has one, for example 'fig_01'.
            caption: one or two sentences.
            content: see ``Content``.
            scores_test: results of the test split are in it; for the published test set outside the paper
                profile the figure and its caption then say 'exploratory'.
        """
        folder = self.folder / "figures" / ("images" if content == "images" else "")
        # The layout is computed once and not again for each file.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        source = self.dataset.source
        is_exploratory = scores_test and self.is_exploratory
        note = (self._origin(content) or (f"images: {source.credit}" if content == "images" and source.credit else "")
                or ("exploratory: published test set" if is_exploratory else ""))
        if note:
            # Saving widens the picture to hold the note, and legends of the figure would move along with its edge.
            for legend in figure.legends:
                place = legend.get_window_extent().transformed(figure.transFigure.inverted())
                legend.set_bbox_to_anchor(place, transform=figure.transFigure)
                legend.set_loc("center")
            bottom = figure.get_tightbbox().y0 / figure.get_figheight()
            figure.text(1, bottom - 0.01, note, ha="right", va="top", size=8, color="0.35")
        save_picture(figure, folder, name)
        picture = folder / f"{name}.png"
        entry = {"name": name, "file": picture.relative_to(self.folder).as_posix()}
        caption = self._stamped(caption, scores_test)
        self._enter("figures", entry | {"caption": caption})
        plt.close(figure)
        # The metadata ties the picture to its files, for the report's page of this notebook.
        display(Image(picture.read_bytes(), width=round(100 * figure.get_figwidth()), alt=caption, metadata=entry))

    def save_table(self, table: pd.DataFrame, name: str, caption: str, scores_test: bool = False,
                   content: Content = "results", headline: bool = False) -> None:
        """Save a table as CSV and Markdown, with its index where that has a name, or several.

        Args are as for a figure; a ``headline`` table stands at the head of the report's index.
        """
        caption = self._stamped(caption, scores_test, content)
        if isinstance(table.index, pd.MultiIndex):
            # Markdown would show its levels as one tuple.
            table = table.reset_index()
        folder, index = self.folder / "tables", table.index.name is not None
        with replacing(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=index)
        with replacing(folder / f"{name}.md") as temporary:
            markdown = table.to_markdown(index=index, floatfmt=".4g", missingval="")
            temporary.write_text(f"{caption}\n\n{markdown}\n", encoding="utf-8")
        self._enter("tables", {"name": name, "file": f"tables/{name}.csv", "caption": caption, "headline": headline})

    def save_scores(self, scores: pd.DataFrame, name: str, caption: str, threshold: float = 0.5) -> None:
        """Save per-image scores as ``scores/NAME.csv``: for the threshold explorer, and to compute tables again.

        Args:
            scores: a row an image: path, split, label, subtype, patient, score; further columns say which
                training the score is of, for example ``optimizer`` and ``seed``.
            name: file name without ending.
            caption: one or two sentences.
            threshold: fixed beforehand; from this score on the positive class is predicted.
        """
        with replacing(self.folder / "scores" / f"{name}.csv") as temporary:
            scores.to_csv(temporary, index=False, float_format="%.9g")
        caption = self._stamped(caption, (scores["split"] == "test").any(), "results")
        self._enter("scores", {"name": name, "file": f"scores/{name}.csv", "caption": caption, "threshold": threshold,
                               "classes": self.dataset.task.classes})

    @property
    def is_exploratory(self) -> bool:
        """Whether scoring this run's test images is access to the published test set outside a protocol."""
        return self.dataset.source.protects_test and self.profile.name != PAPER

    def _origin(self, content: Content) -> str:
        return {"evidence": EVIDENCE, "schema": ""}.get(content, self.dataset.source.origin)

    def _stamped(self, caption: str, scores_test: bool, content: Content = "schema") -> str:
        """A caption with what must not be overlooked: that numbers are exploratory, and what images they are of."""
        origin = self._origin(content) + ("." if content == "evidence" else "")
        note = f"({EXPLORATORY})" if scores_test and self.is_exploratory else ""
        return " ".join(filter(None, [caption, note, origin]))

    def _enter(self, part: str, entry: dict[str, Any], add: bool = False) -> None:
        record = entered(self.folder, self.notebook)
        # A cell run twice in JupyterLab replaces its entry.
        record[part] = [old for old in record[part] if add or old["name"] != entry["name"]] + [entry]
        write_json(record_path(self.folder, self.notebook), record)


def report_folder(profile: Profile, dataset: DataSet, out: str | Path = "") -> Path:
    """Where a profile's report on a data set goes: ``out``, ``COVIDCNN_OUT``, or ``reports/<profile>-<data set>/``.

    Where other images have their report there, the beginning of the content hash stands behind that name; phantom
    images replace their own.

    ``reports/paper/`` is the paper profile's alone, whatever ``out`` says.

    Raises:
        UserError: ``out`` is the paper profile's folder, or inside it, and the profile is another; or there is
            something that is no report.
    """
    name = PAPER if profile.name == PAPER else f"{profile.name}-{dataset.name}"
    others = read_record(REPORTS / name).get("data", {}).get("content hash", dataset.content_hash)
    if name != PAPER and dataset.source is not PHANTOM and others != dataset.content_hash:
        name += f"-{dataset.content_hash[:8]}"
    # Path.expanduser would end in an error of its own where there is no such user.
    folder = Path(os.path.expanduser(str(out) or os.environ.get(OUT_VARIABLE) or REPORTS / name))  # noqa: PTH111
    place, papers = (Path(os.path.realpath(one)) for one in (folder, REPORTS / PAPER))
    if profile.name != PAPER and place.is_relative_to(papers):
        raise UserError(f"{folder}: kept for the paper profile; choose another folder for '{profile.name}'")
    # In the clone itself, for example, a report would take the place of the notebooks it is made from.
    is_report = any(any(folder.glob(own)) for own in (RUN_RECORD, LOCK, "record/[0-9]*.json"))
    if place != papers and not is_report:
        require_new_folder(folder)
    return folder


def require_data_for(profile: Profile, dataset: DataSet) -> None:
    """Refuse data that no report of this profile can be made of.

    Raises:
        UserError: there are more classes than two, or it is another data set than the profile needs.
    """
    if not dataset.task.is_binary:
        raise UserError(f"{dataset.root}: a report tells two classes apart, and there are {len(dataset.task.classes)}; "
                        "choose two with --task A,B (train and evaluate take more)")
    if profile.source not in ("", dataset.source.name):
        raise UserError(f"the profile '{profile.name}' needs the published data set; {dataset.identity} "
                        "Give its folder with --data, or choose another profile")


def open_run(notebook: str, profile: str, data: str = "", out: str = "", task: str = "", model: str = DEFAULT_MODEL
             ) -> Run:
    """Open a notebook's run: every notebook's first call.

    Args:
        notebook: its name without ending.
        profile: 'smoke', 'quick' or 'paper'.
        data: a folder in the published layout; empty for the report runner's, or the phantom images.
        out: as for ``report_folder``.
        task: two classes, as ``task_named`` reads them; empty for those of the data set.
        model: the name of a network of ``covidcnn.models.registry``.

    Raises:
        UserError: unknown profile or model, unusable data, or a folder that is not this profile's.
    """
    chosen = profile_named(profile)
    model_named(model)
    dataset = open_dataset(data, skip_bad=bool(os.environ.get(SKIP_BAD_VARIABLE)),
                           patients=os.environ.get(PATIENTS_VARIABLE),
                           task=task_named(task) if task else None, labels=os.environ.get(LABELS_VARIABLE, ""))
    require_data_for(chosen, dataset)
    folder = report_folder(chosen, dataset, out)
    write_json(record_path(folder, notebook), entered(folder, notebook) | {kind: [] for kind in (*MADE, FURTHER_DATA)})
    apply_style()
    return Run(notebook, chosen, dataset, folder, model)

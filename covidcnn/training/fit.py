"""Train a model once: one recipe, one seed, one model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from covidcnn.augment import AUGMENTATIONS, class_weights, oversampled
from covidcnn.backend import keras, tf
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet
from covidcnn.data.pipeline import scoring_batches, steps_per_epoch, training_batches
from covidcnn.data.splits import assign_roles, draw_by_patient, draw_shares, require_all_classes
from covidcnn.errors import DataError, UserError
from covidcnn.evaluation.metrics import cross_entropy
from covidcnn.evaluation.scores import score_table
from covidcnn.models.classical import ClassicalModel, features_of
from covidcnn.models.fused import training_form
from covidcnn.models.predictor import ClassicalPredictor, KerasPredictor, Predictor
from covidcnn.perturbations import CHOSEN_UNDER
from covidcnn.task import PNEUMONIA, Task
from covidcnn.training.optimizers import default_learning_rate, make_optimizer
from covidcnn.training.precision import keras_policy, resolve_precision
from covidcnn.training.recipe import UNLABELLED, Recipe, recipe_of_teacher, settings_of
from covidcnn.training.result import Training
from covidcnn.training.schedules import SCHEDULES, learning_rate, plateau_callbacks
from covidcnn.training.state import Keeper
from covidcnn.training.teacher import of_scores, targets_of

UNFINISHED = "unfinished.npz"
"""The file in a training's folder from which a killed training goes on; gone when it is finished."""
TEACHER = "unfinished-teacher"
"""The folder beside it, of the same kind, of the teacher's training."""

# What models that are fitted at once take of a recipe, besides their options, the images and the choice of images.
_AT_ONCE = ("epochs", "balance", "validation", "validation_fraction", "split_seed", "max_training_images",
            "training_draw", "label_share", "perturbations", "precision", "learning_rate")


def select_images(images: pd.DataFrame, recipe: Recipe, seed: int = 0, task: Task = PNEUMONIA) -> pd.DataFrame:
    """A catalogue's images with their ``role``, training images and validation drawn down to the recipe's number. With
    each seed another ``training_draw`` is drawn, since which images it has is chance too, and others have the labels
    that are known; a UserError where there are more than two classes to draw from."""
    with_roles = assign_roles(images, recipe.validation, recipe.validation_fraction, recipe.split_seed, task)
    learnt = with_roles["role"].isin(["train", "validation"]) & (with_roles["split"] != "val")
    drawn = draw_by_patient(with_roles[learnt], recipe.max_training_images, recipe.split_seed)
    kept = with_roles.index.isin(drawn.index) | ~learnt
    if recipe.training_draw:
        if not task.is_binary:
            raise UserError(f"training_draw is of two classes, and there are {len(task.classes)}; leave it out")
        is_training = kept & (with_roles["role"] == "train").to_numpy()
        chosen = draw_shares(with_roles[is_training], *recipe.training_draw, seed=seed, task=task)
        kept &= ~is_training | with_roles.index.isin(chosen.index)
    selected = with_roles.loc[kept].reset_index(drop=True)
    if recipe.label_share < 1:
        training = selected[selected["role"] == "train"]
        known = draw_by_patient(training, round(recipe.label_share * len(training)), seed)
        if missing := set(task.classes) - set(known["label"]):
            raise DataError(f"label_share {recipe.label_share:g}: of {len(training)} training images no {min(missing)} "
                            "image keeps its label; give a larger share")
        selected.loc[training.index.difference(known.index), "role"] = UNLABELLED
    require_all_classes(selected, recipe.validation, task)
    return selected


def make_repeatable(seed: int) -> None:
    """Seed Python, NumPy and Keras, and have TensorFlow add up in a fixed order; JAX has no such switch at run time."""
    keras.utils.set_random_seed(seed)
    if tf:
        tf.config.experimental.enable_op_determinism()


def train(dataset: DataSet, recipe: Recipe, seed: int, folder: Path | None = None,
          score_roles: Sequence[str] = ("validation", "test"),
          report: Callable[[int, int, dict], None] | None = None, keep_interrupted: bool = True,
          events: Path | None = None, identity: str = "", of_teacher: pd.DataFrame | None = None) -> Training:
    """Train on ``dataset`` and score its images.

    The epoch is chosen as the recipe says (``choose_by``); test images have no part in any choice. Scores are those of
    the plain model that is returned, in float32, whatever the precision of the training. One that was killed goes on
    after its last finished epoch if it is called again with the same ``folder``, and ends with the same bits as an
    undisturbed one on the same machine.

    Where the labels of some training images are not known, these are scored besides. With a teacher, which is trained
    first unless its scores are there, they are learnt from with its labels.

    Args:
        seed: of initial weights, order, augmentation and dropout.
        folder: receives ``unfinished.npz`` after each epoch, and of a teacher ``unfinished-teacher``, for the caller to
            remove; None keeps nothing.
        score_roles: which images to score: 'train' (those whose labels are known), 'validation', 'test'.
        report: called at the end of each epoch with (epoch, epochs, logs).
        keep_interrupted: end an interrupted training (Ctrl-C) after its best finished epoch, with ``interrupted`` set.
            Otherwise, or if no epoch was finished, KeyboardInterrupt is raised.
        events: folder for TensorBoard's events, if any are wanted.
        identity: text that only this training has, so that no other goes on from ``folder``.
        of_teacher: the scores of a training by ``recipe_of_teacher`` with this seed.

    Raises:
        DataError: the images do not allow the recipe's validation, or can no longer be read.
        Diverged: the loss is no number any more.
        UserError: ``folder`` holds another unfinished training, or cannot be written; the recipe scores a role after
            every epoch that is not among ``score_roles``.
    """
    require_possible(recipe, dataset.task, score_roles)
    make_repeatable(seed)
    task, images = dataset.task, select_images(dataset.images, recipe, seed, dataset.task)
    prepared = _Prepared(images, load_images(dataset.root, images, recipe.images), task.encode(images["label"]), task)
    if recipe.teacher != "none":
        if of_teacher is None:
            of_teacher = train(dataset, recipe_of_teacher(recipe), seed, folder and folder / TEACHER, ("validation",),
                               keep_interrupted=False, identity=identity and f"{identity} teacher").scores
            make_repeatable(seed)
        prepared = replace(prepared, targets=targets_of(prepared.table, prepared.labels, of_teacher, recipe))
    if isinstance(recipe.model, ClassicalModel):
        predictor, history = _fit_at_once(prepared, recipe, recipe.model, seed)
        return Training(predictor, history, _score(predictor, prepared, recipe, score_roles), False, recipe.choose_by,
                        prepared.images())
    plain = recipe.model.build(task, recipe.images.size, seed)
    model = _compile(plain, prepared, recipe)
    network, in_training = KerasPredictor(plain, task), KerasPredictor(model, task)

    def shifted_loss() -> float:
        """The mean loss over the validation images under the perturbations by which the epoch is chosen."""
        rows = prepared.of(["validation"])
        return float(np.mean([cross_entropy(prepared.labels[rows], task.scores(in_training(
            prepared.pixels, rows, shift))) for shift in CHOSEN_UNDER[recipe.choose_by]]))

    every_epoch = prepared.of(recipe.score_every_epoch)

    def scored_with(weights: list[np.ndarray]) -> np.ndarray:
        """The scores of what is scored after every epoch: float (images,)."""
        if not len(every_epoch):
            return np.empty(0)
        plain.set_weights(weights)
        return network(prepared.pixels, every_epoch)[:, 1]

    keeper = Keeper(model, seed, recipe.choose_by, shifted_loss, scored_with, folder / UNFINISHED if folder else None,
                    identity, report)
    interrupted = False
    try:
        if keeper.epochs_done < recipe.epochs:
            _fit(model, keeper, prepared, recipe, seed, events)
    except KeyboardInterrupt:
        if not (keeper.epochs_done and keep_interrupted):
            raise
        interrupted = True
    plain.set_weights(keeper.state.best_weights)
    scores = _score(network, prepared, recipe, score_roles, keeper.state.epoch_scores)
    return Training(network, keeper.state.history, scores, interrupted, recipe.choose_by, prepared.images())


@dataclass(frozen=True)
class _Prepared:
    """The images of a training, decoded: ``table`` has a row an image, with its ``role``; ``pixels`` are uint8 (n,
    size, size), and ``labels`` the places of their classes, int (n,)."""

    table: pd.DataFrame
    pixels: np.ndarray
    labels: np.ndarray
    task: Task
    targets: np.ndarray | None = None
    """What is learnt: the labels, or of two classes the teacher's scores, float (n,), NaN of images that are left out;
    None where there is no teacher, and it is the labels of the role 'train'."""

    def learnt(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows of the images that are learnt from, int (m,), and what of each image: int or float (n,)."""
        if self.targets is None:
            return self.of(["train"]), self.labels
        return np.flatnonzero(~np.isnan(self.targets)), self.targets

    def images(self) -> pd.DataFrame:
        """As ``Training`` has them."""
        learnt = np.zeros(len(self.table), bool)
        learnt[self.learnt()[0]] = True
        return self.table.assign(learnt=learnt)

    def of(self, roles: Sequence[str]) -> np.ndarray:
        """The rows of the images of some roles: int (n,)."""
        return np.flatnonzero(self.table["role"].isin(roles))


def require_possible(recipe: Recipe, task: Task, score_roles: Sequence[str]) -> None:
    """Refuse a recipe whose settings contradict each other, or these classes, or the roles that are to be scored; a
    UserError names what to change."""
    if recipe.teacher == "none" and recipe.min_confidence != 0.5:
        raise UserError(f"min_confidence {recipe.min_confidence:g}: there is no teacher whose labels it is about; "
                        "leave it out, or name one")
    if recipe.teacher != "none":
        if not task.is_binary or recipe.label_share == 1:
            raise UserError(f"teacher {recipe.teacher}: it labels images of two classes, those that label_share leaves "
                            f"without a label; here are {len(task.classes)} classes, and label_share is "
                            f"{recipe.label_share:g}")
        if recipe.teacher == "soft" and recipe.balance != "none":
            raise UserError(f"balance {recipe.balance}: classes are counted by labels, and a soft teacher gives "
                            "scores; leave one of them out")
    if recipe.score_every_epoch and not task.is_binary:
        raise UserError(f"score_every_epoch is of two classes, and there are {len(task.classes)}; leave it out")
    if not set(recipe.score_every_epoch) <= set(score_roles):
        raise UserError(f"the recipe scores {' and '.join(recipe.score_every_epoch)} after every epoch, but only "
                        f"{' and '.join(score_roles)} is to be scored; change one of them")
    if isinstance(recipe.model, ClassicalModel):
        usual = settings_of(Recipe(recipe.epochs, recipe.images, recipe.model))
        if recipe.learning_rate not in (None, default_learning_rate(recipe.optimizer)):
            raise UserError(f"learning_rate {recipe.learning_rate:g}: a model of scikit-learn is fitted at once, "
                            "without it; leave it out")
        for name, value in settings_of(recipe).items():
            if name not in _AT_ONCE and value != usual[name]:
                raise UserError(f"{name} {value}: a model of scikit-learn is fitted at once, without it; leave it out")


def _compile(plain: keras.Model, prepared: _Prepared, recipe: Recipe) -> keras.Model:
    """The training form of a network, with optimizer, loss and metrics."""
    model = training_form(plain, keras_policy(resolve_precision(recipe.precision)))
    rows, targets = prepared.learnt()
    steps = steps_per_epoch(targets[rows], recipe.batch_size, recipe.balance)
    rate = recipe.learning_rate or default_learning_rate(recipe.optimizer)
    schedule = learning_rate(SCHEDULES[recipe.schedule], rate, steps, recipe.epochs)
    # With TensorFlow XLA makes this network slower on processors (benchmarks/README.md).
    metrics = ["accuracy", *[keras.metrics.Recall(name="sensitivity")] * prepared.task.is_binary]
    if recipe.teacher == "soft":
        metrics = [of_scores(keras.metrics.BinaryAccuracy)(name="accuracy"),
                   of_scores(keras.metrics.Recall)(name="sensitivity")]
    model.compile(optimizer=make_optimizer(recipe.optimizer, schedule, recipe.weight_average), loss=prepared.task.loss,
                  metrics=metrics, jit_compile=tf is None)
    # Keras would otherwise trace the training step twice: once to create the variables of optimizer and
    # metrics, once to use them. At a hundred images tracing takes longer than training.
    model.optimizer.build(model.trainable_variables)
    model.evaluate(scoring_batches(prepared.pixels, prepared.labels, prepared.of(["validation"])[:1]), verbose=0)
    return model


def _fit(model: keras.Model, keeper: Keeper, prepared: _Prepared, recipe: Recipe, seed: int, events: Path | None
         ) -> None:
    """Train from the keeper's last epoch to the recipe's."""
    # A plateau first: the keeper takes down what it makes of the learning rate. The average of the weights after it:
    # the keeper takes down those that were validated.
    callbacks: list[keras.callbacks.Callback] = [
        *plateau_callbacks(SCHEDULES[recipe.schedule], keeper.state.history), keeper]
    if recipe.weight_average:
        callbacks.append(keras.callbacks.SwapEMAWeights())
    if events:
        callbacks.append(keras.callbacks.TensorBoard(events, write_graph=False))
    rows, targets = prepared.learnt()
    model.fit(
        training_batches(prepared.pixels, targets, rows, batch_size=recipe.batch_size, seed=seed,
                         epochs=range(keeper.epochs_done, recipe.epochs), balance=recipe.balance,
                         augmentation=AUGMENTATIONS[recipe.augmentation]),
        initial_epoch=keeper.epochs_done, epochs=recipe.epochs,
        steps_per_epoch=steps_per_epoch(targets[rows], recipe.batch_size, recipe.balance),
        validation_data=scoring_batches(prepared.pixels, prepared.labels, prepared.of(["validation"])),
        class_weight=class_weights(targets[rows].astype(int)) if recipe.balance == "class-weight" else None,
        callbacks=callbacks, shuffle=False, verbose=0)


def _fit_at_once(prepared: _Prepared, recipe: Recipe, options: ClassicalModel, seed: int
                 ) -> tuple[ClassicalPredictor, pd.DataFrame]:
    """A fitted model of scikit-learn, and a history of one row."""
    learnt = train = prepared.of(["train"])
    if recipe.balance == "oversample":
        learnt = learnt[oversampled(prepared.labels[learnt], np.random.default_rng(seed))]
    estimator = options.estimator(seed, recipe.balance == "class-weight")
    predictor, figures = ClassicalPredictor(options, estimator, prepared.task), {}
    try:
        estimator.fit(features_of([prepared.pixels[row] for row in learnt], options.features, options.side),
                      prepared.labels[learnt])
        for prefix, chosen in (("", train), ("val_", prepared.of(["validation"]))):
            labels, probabilities = prepared.labels[chosen], predictor(prepared.pixels, chosen)
            figures[f"{prefix}accuracy"] = float((prepared.task.predict(probabilities) == labels).mean())
            figures[f"{prefix}loss"] = cross_entropy(labels, prepared.task.scores(probabilities))
    except ValueError as error:
        # For example more neighbours than images: scikit-learn says which option does not fit the data.
        problem = " ".join(str(error).split())
        raise UserError(f"{options}: scikit-learn cannot fit it ({problem}); change that option") from error
    return predictor, pd.DataFrame([figures], index=pd.RangeIndex(1, 2, name="epoch"))


def _score(predictor: Predictor, prepared: _Prepared, recipe: Recipe, roles: Sequence[str],
           epoch_scores: np.ndarray | None = None) -> pd.DataFrame:
    """The table of scores, as ``Training`` has it; ``epoch_scores`` are float (epochs, images)."""
    def table(chosen: np.ndarray, perturbation: str = "") -> pd.DataFrame:
        rows = prepared.table.iloc[chosen].assign(split=prepared.table["role"])
        return score_table(rows, predictor(prepared.pixels, chosen, perturbation), prepared.task, perturbation)

    scored, every_epoch = prepared.of([*roles, UNLABELLED]), prepared.of(recipe.score_every_epoch)
    scores = [table(scored)]
    if epoch_scores is not None and len(every_epoch):
        scores[0] = scores[0].join(pd.DataFrame(epoch_scores.T, prepared.table.index[every_epoch],
                                                [f"epoch {epoch}" for epoch in range(1, len(epoch_scores) + 1)]))
    further = dict.fromkeys(CHOSEN_UNDER.get(recipe.choose_by, ()), prepared.of(["validation"]))
    further |= dict.fromkeys(recipe.perturbations, scored)
    return pd.concat([*scores, *(table(chosen, perturbation) for perturbation, chosen in further.items())],
                     ignore_index=True)

"""Train a network once: one recipe, one seed, one model."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from covidcnn.augment import augmentation_named, class_weights
from covidcnn.backend import keras, tf
from covidcnn.data.cache import load_images
from covidcnn.data.dataset import DataSet
from covidcnn.data.pipeline import scoring_batches, steps_per_epoch, training_batches
from covidcnn.data.splits import assign_roles, draw_by_patient, draw_shares, require_all_classes
from covidcnn.errors import UserError
from covidcnn.evaluation.metrics import cross_entropy
from covidcnn.models.fused import training_form
from covidcnn.models.scoring import predict
from covidcnn.perturbations import SIMULATED_SHIFTS
from covidcnn.task import PNEUMONIA, Task
from covidcnn.training.optimizers import default_learning_rate, make_optimizer
from covidcnn.training.precision import keras_policy, resolve_precision
from covidcnn.training.recipe import Recipe
from covidcnn.training.result import SHIFTED_LOSS, Diverged, Training, chosen_epoch, score_table
from covidcnn.training.schedules import learning_rate, plateau_callbacks, schedule_named
from covidcnn.training.state import TrainingState, load_state, save_state

UNFINISHED = "unfinished.npz"
"""The file in a training's folder from which a killed training goes on; gone when it is finished."""

# Third entry of the seed sequences of covidcnn.data.pipeline: dropout draws from a stream of its own.
_DROPOUT = 3


class _Keeper(keras.callbacks.Callback):
    """Keeps history, best weights and all that a continued training needs; saves it after each epoch."""

    def __init__(self, model: keras.Model, seed: int, choose_by: str, shifted_loss: Callable[[keras.Model], float],
                 scored: Callable[[list[np.ndarray]], np.ndarray], file: Path | None, identity: str,
                 report: Callable[[int, int, dict], None] | None) -> None:
        super().__init__()
        self._seed, self._choose_by, self._shifted_loss, self._scored = seed, choose_by, shifted_loss, scored
        self._file, self._identity, self._report = file, identity, report
        self._validated: list[np.ndarray] = []
        self._shifted = 0.0
        weights = model.get_weights()
        self.state = TrainingState(pd.DataFrame(), weights, _values(model.optimizer), weights, np.empty((0, 0)))
        earlier = load_state(file, identity) if file else None
        if earlier:
            self.state = earlier
            model.set_weights(earlier.weights)
            for variable, value in zip(model.optimizer.variables, earlier.optimizer, strict=True):
                variable.assign(value)

    @property
    def epochs_done(self) -> int:
        return len(self.state.history)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        for place, layer in enumerate(_all_layers(self.model)):
            # At a rate of 0 Keras draws nothing, and has nothing to draw from.
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                # Keras counts the steps in the second number; both are drawn, so that no two layers share a stream.
                drawn = np.random.SeedSequence([self._seed, _DROPOUT, epoch, place]).generate_state(2)
                layer.seed_generator.state.assign(drawn >> 1)

    def on_test_end(self, logs: dict | None = None) -> None:
        # Averaged weights stand in the model only while it is validated.
        self._validated = self.model.get_weights()
        if self._choose_by == "shifted validation":
            self._shifted = self._shifted_loss(self.model) if np.isfinite((logs or {})["loss"]) else np.inf

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = {name: float(value) for name, value in (logs or {}).items()}
        if not np.isfinite([logs["loss"], logs["val_loss"]]).all():
            raise Diverged(f"{self.model.optimizer.name}: the loss is no number any more in epoch {epoch + 1}; "
                           "take a lower learning rate")
        if self._choose_by == "shifted validation":
            logs[SHIFTED_LOSS] = self._shifted
        row = pd.DataFrame([logs], index=pd.RangeIndex(epoch + 1, epoch + 2, name="epoch"))
        history = pd.concat([self.state.history, row])
        improved = chosen_epoch(history, self._choose_by) == epoch + 1
        self.state = TrainingState(
            history=history, weights=self.model.get_weights(), optimizer=_values(self.model.optimizer),
            best_weights=self._validated if improved else self.state.best_weights,
            epoch_scores=np.array([*self.state.epoch_scores, self._scored(self._validated)]))
        if self._file:
            save_state(self._file, self._identity, self.state)
        if self._report:
            self._report(epoch + 1, self.params["epochs"], logs)


def _all_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model, and those of the models within it."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)


def _values(optimizer: keras.optimizers.Optimizer) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in optimizer.variables]


def select_films(films: pd.DataFrame, recipe: Recipe, seed: int = 0, task: Task = PNEUMONIA) -> pd.DataFrame:
    """Films with their ``role``, training films and validation drawn down to the recipe's number.

    Args:
        films: a catalogue's films.
        recipe: says which.
        seed: of the training: with each another ``training_draw`` is drawn, since which films it has is chance too.
        task: whose classes training and validation need.

    Raises:
        UserError: the recipe draws a share of the first of two classes, and there are more.
    """
    with_roles = assign_roles(films, recipe.validation, recipe.validation_fraction, recipe.split_seed, task)
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
          events: Path | None = None, identity: str = "") -> Training:
    """Train on ``dataset`` and score its films.

    The epoch is chosen as the recipe says (``choose_by``); test films have no part in any choice. Scores are those
    of the plain model that is returned, in float32, whatever the precision of the training.

    A training that was killed goes on after its last finished epoch if it is called again with the same
    ``folder``, and ends with the same bits as an undisturbed one on the same machine.

    Args:
        dataset: opened with ``open_dataset``.
        recipe: what to do.
        seed: of initial weights, order, augmentation and dropout.
        folder: receives ``unfinished.npz`` after each epoch, for the caller to remove; None keeps nothing.
        score_roles: which films to score: 'train', 'validation', 'test'.
        report: called at the end of each epoch with (epoch, epochs, logs).
        keep_interrupted: end an interrupted training (Ctrl-C) after its best finished epoch, with
            ``interrupted`` set. Otherwise, or if no epoch was finished, KeyboardInterrupt is raised.
        events: folder for TensorBoard's events, if any are wanted.
        identity: text that only this training has, so that no other goes on from ``folder``.

    Raises:
        DataError: the films do not allow the recipe's validation, or can no longer be read.
        Diverged: the loss is no number any more.
        UserError: ``folder`` holds another unfinished training, or cannot be written; the recipe scores a role after
            every epoch that is not among ``score_roles``.
    """
    if recipe.score_every_epoch and not dataset.task.is_binary:
        raise UserError(f"score_every_epoch is of two classes, and there are {len(dataset.task.classes)}; leave it out")
    if not set(recipe.score_every_epoch) <= set(score_roles):
        raise UserError(f"the recipe scores {' and '.join(recipe.score_every_epoch)} after every epoch, but only "
                        f"{' and '.join(score_roles)} is to be scored; change one of them")
    make_repeatable(seed)
    task = dataset.task
    films = select_films(dataset.films, recipe, seed, task)
    images = load_images(dataset.root, films, recipe.images)
    labels = task.encode(films["label"])
    rows = {role: np.flatnonzero(films["role"] == role) for role in ("train", "validation")}

    plain = recipe.model.build(task, recipe.images.size, seed)
    model = training_form(plain, keras_policy(resolve_precision(recipe.precision)))
    training_labels = labels[rows["train"]]
    steps = steps_per_epoch(training_labels, recipe.batch_size, recipe.balance)
    schedule = schedule_named(recipe.schedule)
    rate = default_learning_rate(recipe.optimizer) if recipe.learning_rate is None else recipe.learning_rate
    # With TensorFlow XLA makes this network slower on processors (benchmarks/README.md).
    model.compile(optimizer=make_optimizer(recipe.optimizer, learning_rate(schedule, rate, steps, recipe.epochs),
                                           recipe.weight_average),
                  loss=task.loss,
                  metrics=["accuracy", *([keras.metrics.Recall(name="sensitivity")] if task.is_binary else [])],
                  jit_compile=tf is None)
    # Keras would otherwise trace the training step twice: once to create the variables of optimizer and
    # metrics, once to use them. At a hundred films tracing takes longer than training.
    validation = scoring_batches(images, labels, rows["validation"])
    model.optimizer.build(model.trainable_variables)
    model.evaluate(scoring_batches(images, labels, rows["validation"][:1]), verbose=0)
    every_epoch = np.flatnonzero(films["role"].isin(recipe.score_every_epoch))

    def shifted_loss(model: keras.Model) -> float:
        """The mean loss over simulated shifts of the validation films."""
        return float(np.mean([cross_entropy(labels[rows["validation"]],
                                            predict(model, images, rows["validation"], shift))
                              for shift in SIMULATED_SHIFTS]))

    def scored_with(weights: list[np.ndarray]) -> np.ndarray:
        """The scores of what is scored after every epoch: float (films,)."""
        if not len(every_epoch):
            return np.empty(0)
        plain.set_weights(weights)
        return predict(plain, images, every_epoch)[:, 0]

    keeper = _Keeper(model, seed, recipe.choose_by, shifted_loss, scored_with, folder / UNFINISHED if folder else None,
                     identity, report)
    # A plateau first: the keeper takes down what it makes of the learning rate.
    callbacks: list[keras.callbacks.Callback] = [*plateau_callbacks(schedule, keeper.state.history), keeper]
    if recipe.weight_average:
        # After the keeper, which takes down the weights that were validated.
        callbacks.append(keras.callbacks.SwapEMAWeights())
    if events:
        callbacks.append(keras.callbacks.TensorBoard(events, write_graph=False))
    interrupted = False
    try:
        if keeper.epochs_done < recipe.epochs:
            model.fit(
                training_batches(images, labels, rows["train"], batch_size=recipe.batch_size, seed=seed,
                                 epochs=range(keeper.epochs_done, recipe.epochs), balance=recipe.balance,
                                 augmentation=augmentation_named(recipe.augmentation)),
                initial_epoch=keeper.epochs_done, epochs=recipe.epochs,
                steps_per_epoch=steps,
                validation_data=validation,
                class_weight=class_weights(training_labels) if recipe.balance == "class-weight" else None,
                callbacks=callbacks, shuffle=False, verbose=0,
            )
    except KeyboardInterrupt:
        if not (keeper.epochs_done and keep_interrupted):
            raise
        interrupted = True
    plain.set_weights(keeper.state.best_weights)
    scored = np.flatnonzero(films["role"].isin(score_roles))

    def table(chosen: np.ndarray, perturbation: str = "") -> pd.DataFrame:
        return score_table(films.iloc[chosen].assign(split=films["role"]), predict(plain, images, chosen, perturbation),
                           task, perturbation)

    after = pd.DataFrame(keeper.state.epoch_scores.T, films.index[every_epoch],
                         [f"epoch {epoch}" for epoch in keeper.state.history.index])
    scores = [table(scored).join(after) if len(every_epoch) else table(scored)]
    further = dict.fromkeys(recipe.perturbations, scored)
    if recipe.choose_by == "shifted validation":
        further = dict.fromkeys(SIMULATED_SHIFTS, rows["validation"]) | further
    scores += [table(chosen, perturbation) for perturbation, chosen in further.items()]
    return Training(plain, keeper.state.history, pd.concat(scores, ignore_index=True), interrupted, recipe.choose_by,
                    task)

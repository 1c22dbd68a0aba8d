"""Profiles: how large a run is. A profile changes scale and output folder, with two exceptions.

``paper`` pins the precision of its trainings. ``smoke`` and ``quick`` take fewer than the about 600 steps that a model
needs at Keras's batch-normalisation momentum of 0.99 before its moving averages mean anything. This
was measured on 580 images at 64 px over 8 epochs. With 0.99 accuracy was 0.74 and specificity 0. With 0.9 accuracy
was 0.94.
"""

from dataclasses import dataclass

from covidcnn.errors import named

CALIBRATION_IMAGES = 200
"""On how many images a network's int8 form is calibrated."""
DISCLAIMER = "For research and teaching. Not a medical device: no decision about a patient may rest on it."


@dataclass(frozen=True)
class Profile:
    """The scale of a run."""

    name: str
    image_size: int
    """Side of the square images given to the model, in pixels."""
    epochs: int
    seeds: tuple[int, ...]
    """One training per optimizer and seed."""
    max_training_images: int | None
    """Training images drawn by patient; None takes all."""
    batch_norm_momentum: float
    bootstrap_samples: int
    precision: str = "auto"
    """Of trainings; pinned where a store is filled on several machines."""
    source: str = ""
    """The one of ``covidcnn.data.sources`` that it needs; empty takes any."""
    many_seeds: "Profile | None" = None
    """The smaller scale at which conditions are compared over more seeds; None where this one serves."""


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", 32, 2, (0,), 96, 0.9, 100),
        Profile("quick", 32, 12, (0, 1, 2, 3, 4), 800, 0.9, 1000),
        # The scales of the arms of reports/paper/protocol.yaml: the only trainings whose test images may be scored.
        Profile("paper", 224, 8, (0, 1, 2, 3, 4), None, 0.99, 2000, "bfloat16", source="chest-xray",
                many_seeds=Profile("paper", 64, 8, tuple(range(10)), None, 0.9, 2000, "float32")),
    )
}


def profile_named(name: str) -> Profile:
    """The profile of that name, or a UserError that says which there are."""
    return named(PROFILES, name, "profile")

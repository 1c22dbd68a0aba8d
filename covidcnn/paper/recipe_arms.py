"""The arms of the second study, and what one of its comparisons is."""

from dataclasses import dataclass

from covidcnn.evaluation.measures import Metric, accuracy
from covidcnn.evaluation.statistics import Difference, paired_difference
from covidcnn.study.conditions import ArmResults, Condition

PUBLIC_RECIPE, CAUSES, INGREDIENTS, RATES, SMALL = ("1-public-recipe", "4-causes", "2-ingredients", "2b-rates",
                                                    "8-small-images")
NO_ZOOM, ZOOM = "paper", "paper and zoom"
INGREDIENT_NAMES = {
    NO_ZOOM: "flips and shifts", "paper and rotation": "+ rotation", "paper and height zoom": "+ zoom in height",
    "paper and width zoom": "+ zoom in width", ZOOM: "+ zoom in height and in width",
    "paper and zoom alike": "+ zoom of both alike", "paper and crop": "+ crop without stretch",
    "public recipe": "+ rotation and zoom (the public recipe)"}
"""How tables and figures name an augmentation."""


@dataclass(frozen=True)
class Contrast:
    """One comparison that the protocol names."""

    question: str
    rank: str
    """'primary' or 'secondary'; the secondary ones of a question and arm are one family, and so is all of arm 8."""
    arm: str
    comparison: str
    measure: str
    difference: Difference
    means_something: bool = True
    """False of a share of something that is not surely there: its verdict is open."""


def ingredients_of(arm: ArmResults) -> dict[str, Condition]:
    """The unbalanced conditions of an arm by the name of their augmentation."""
    return {one.recipe.augmentation: one for one in arm.conditions if one.recipe.balance == "none"}


def less(arm: ArmResults, first: Condition, second: Condition, metric: Metric = accuracy) -> Difference:
    """A metric of the first condition on test less that of the second, paired by seed."""
    return paired_difference(first.test_scores, second.test_scores, arm.images, metric, arm.draws)

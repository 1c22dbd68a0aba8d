"""The arms of the second study, and what one of its comparisons is."""

from dataclasses import dataclass

from covidcnn.evaluation.statistics import Difference
from covidcnn.study.conditions import ArmResults, Condition

PUBLIC_RECIPE, CAUSES, INGREDIENTS, RATES, SMALL, SMALL_RATES, PAPER_SIZE, LARGER = (
    "1-public-recipe", "4-causes", "2-ingredients", "2b-rates", "8-small-images", "10-small-rates", "11-paper-size",
    "12-larger-images")
NO_ZOOM, ZOOM, HEIGHT_ZOOM = "paper", "paper and zoom", "paper and height zoom"
SIX_OPTIMIZERS = {"224 px": PUBLIC_RECIPE, "64 px": "9-small-public-recipe"}
"""Where questions 1 and 3 are asked of all optimizers; at 64 px exploratory, and no contrast is made of it."""
PUBLIC_RECIPE_ARMS = SIX_OPTIMIZERS | {"224 px (arm 11)": PAPER_SIZE}
"""Where they are asked of Nadam; in arm 11 exploratory."""
RATE_ARMS = {"128 px": (INGREDIENTS, RATES), "64 px": (SMALL_RATES,)}
"""Where learning rates are compared; at 64 px exploratory."""
INGREDIENT_NAMES = {
    NO_ZOOM: "flips and shifts", "paper and rotation": "+ rotation", HEIGHT_ZOOM: "+ zoom in height",
    "paper and width zoom": "+ zoom in width", ZOOM: "+ zoom in height and in width",
    "paper and zoom alike": "+ zoom of both alike", "paper and crop": "+ crop without stretch",
    "public recipe": "+ rotation and zoom (the public recipe)"}
"""How tables and figures name an augmentation."""
WITH_OR_WITHOUT = ((NO_ZOOM, "without zoom"), (ZOOM, "with zoom"))


@dataclass(frozen=True)
class Contrast:
    """One comparison that the protocol names."""

    question: str
    rank: str
    """'primary', 'secondary' or 'exploratory'; those of a question and arm but its primary one are one family, and so
    is all of arm 8, and all of arm 12."""
    arm: str
    comparison: str
    measure: str
    difference: Difference
    means_something: bool = True
    """False where it is a share of something that is not surely there; its verdict is then open."""


def ingredients_of(arm: ArmResults) -> dict[str, Condition]:
    """The unbalanced conditions of an arm by the name of their augmentation."""
    return {one.recipe.augmentation: one for one in arm.conditions if one.recipe.balance == "none"}

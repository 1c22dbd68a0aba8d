"""Phantom chest films: the embedded data set, drawn procedurally from a seed.

No child was imaged. ``plan_films`` decides which films there are, ``draw_film`` draws one of them and
``write_phantom`` writes a whole folder in the layout of the published set.
"""

from covidcnn.data.phantom.dataset import GENERATOR_VERSION, MARKER, write_phantom
from covidcnn.data.phantom.film import draw_film
from covidcnn.data.phantom.plan import DEFAULT_COUNTS, FilmPlan, plan_films, share_counts

__all__ = [
    "DEFAULT_COUNTS",
    "GENERATOR_VERSION",
    "MARKER",
    "FilmPlan",
    "draw_film",
    "plan_films",
    "share_counts",
    "write_phantom",
]

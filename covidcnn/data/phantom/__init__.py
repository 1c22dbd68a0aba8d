"""Phantom chest images: the embedded data set, drawn procedurally from a seed. No child was imaged."""

from covidcnn.data.phantom.dataset import GENERATOR_VERSION, MARKER, write_phantom
from covidcnn.data.phantom.image import draw_image
from covidcnn.data.phantom.plan import DEFAULT_COUNTS, plan_images, share_counts

__all__ = ["DEFAULT_COUNTS", "GENERATOR_VERSION", "MARKER", "draw_image", "plan_images", "share_counts",
           "write_phantom"]

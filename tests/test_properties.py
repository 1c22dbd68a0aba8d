"""What imaging, splits and metrics promise of every input (Hypothesis)."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from dicom_files import write_dicom
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from covidcnn.data.splits import assign_roles, draw_by_patient, hash_fraction
from covidcnn.errors import DataError
from covidcnn.evaluation.metrics import confusion, evaluate_scores
from covidcnn.imaging.reading import read_grey, read_header
from covidcnn.imaging.transforms import INTERPOLATIONS, PREPROCESSING, ImageSettings, equalize, invert, resize

# Derandomised: the same examples each time, and no deadline, because the machine may be busy.
settings.register_profile("covidcnn", derandomize=True, database=None, deadline=None, max_examples=60,
                          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow,
                                                 HealthCheck.filter_too_much])
settings.load_profile("covidcnn")

IMAGES = arrays.arrays(np.uint8, st.tuples(st.integers(16, 70), st.integers(16, 70)))
SETTINGS = st.builds(ImageSettings, st.integers(16, 64), st.sampled_from(sorted(PREPROCESSING)),
                     st.sampled_from(sorted(INTERPOLATIONS)), st.booleans())

# ---------------------------------------------------------------- imaging


@given(IMAGES, SETTINGS)
def test_every_image_is_prepared_to_the_size_and_left_as_it_was(image, chosen):
    before = image.copy()
    prepared = chosen.prepare(image)
    assert prepared.shape == (chosen.size, chosen.size)
    assert prepared.dtype == np.uint8
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(prepared, chosen.prepare(image))


@given(IMAGES)
def test_inversion_undoes_itself(image):
    np.testing.assert_array_equal(invert(invert(image)), image)
    assert invert(image).mean() == pytest.approx(255 - image.mean())


@given(IMAGES)
def test_equalisation_keeps_the_order_of_greys(image):
    order = np.argsort(image, axis=None, kind="stable")
    assert (np.diff(equalize(image).ravel()[order].astype(int)) >= 0).all()


@given(IMAGES, st.integers(16, 64), st.sampled_from(["nearest", "linear", "area"]))
def test_resizing_invents_no_grey_beyond_those_there_were(image, size, interpolation):
    small = resize(image, size, interpolation)
    assert image.min() <= small.min()
    assert small.max() <= image.max()


@given(st.integers(16, 70), st.integers(16, 70), st.integers(16, 64))
def test_padding_keeps_the_aspect_ratio(height, width, size):
    padded = resize(np.full((height, width), 200, np.uint8), size, pad=True)
    filled_height, filled_width = (padded == 200).any(1).sum(), (padded == 200).any(0).sum()
    assert max(filled_height, filled_width) == size
    assert abs(filled_height / filled_width - height / width) <= (1 + height / width) / min(filled_height, filled_width)


@given(image=IMAGES, mode=st.sampled_from(["L", "RGB", "RGBA"]), ending=st.sampled_from(["png", "tiff", "bmp"]))
def test_lossless_files_are_read_back_to_the_pixel(tmp_path, image, mode, ending):
    path = tmp_path / f"image.{ending}"
    Image.fromarray(image).convert(mode).save(path)
    np.testing.assert_array_equal(read_grey(path), image)
    assert (read_header(path).height, read_header(path).width) == image.shape


@given(image=arrays.arrays(np.uint16, (18, 20)), bits=st.sampled_from([12, 16]), inverted=st.booleans(),
       window=st.none() | st.tuples(st.integers(0, 65535), st.integers(1, 65535)))
def test_dicom_keeps_the_order_of_greys_or_turns_it_round(tmp_path, image, bits, inverted, window):
    image = image & (2**bits - 1)
    options = {"WindowCenter": window[0], "WindowWidth": window[1]} if window else {}
    path = write_dicom(tmp_path / "image.dcm", image, bits,
                       PhotometricInterpretation="MONOCHROME1" if inverted else "MONOCHROME2", **options)
    shown = read_grey(path)
    assert shown.dtype == np.uint8
    assert shown.shape == image.shape
    order = np.argsort(image, axis=None, kind="stable")
    steps = np.diff(shown.ravel()[order].astype(int))
    assert ((steps <= 0) if inverted else (steps >= 0)).all()


# ---------------------------------------------------------------- splits

@st.composite
def image_tables(draw):
    """Images of a few patients, some with both labels, all in train."""
    rows = draw(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=12, max_size=80))
    table = pd.DataFrame([(f"{number}.png", f"p{patient}", ("NORMAL", "PNEUMONIA")[ill])
                          for number, (patient, ill) in enumerate(rows)], columns=["path", "patient", "label"])
    return table.assign(split="train", series="", number=-1)


@given(image_tables(), st.floats(0.05, 0.6), st.integers(0, 5))
def test_no_patient_stands_on_both_sides(images, fraction, seed):
    try:
        roles = assign_roles(images, "patient", fraction, seed)
    except DataError:
        reject()
    assert set(roles["role"]) == {"train", "validation"}
    assert (roles.groupby("patient")["role"].nunique() == 1).all()
    shuffled = assign_roles(images.sample(frac=1, random_state=0), "patient", fraction, seed)
    pd.testing.assert_series_equal(shuffled["role"].sort_index(), roles["role"])


@given(image_tables(), st.integers(1, 80), st.integers(0, 3))
def test_drawing_takes_whole_patients_and_not_more_than_asked(images, limit, seed):
    drawn = draw_by_patient(images, limit, seed)
    assert len(drawn) <= max(limit, 0)
    for patient in set(drawn["patient"]):
        assert (drawn["patient"] == patient).sum() == (images["patient"] == patient).sum()


@given(st.text(), st.integers(0, 2**31), st.text(max_size=5))
def test_hash_is_a_fraction_and_stays_the_same(key, seed, purpose):
    fraction = hash_fraction(key, seed, purpose)
    assert 0 <= fraction < 1
    assert fraction == hash_fraction(key, seed, purpose)


# ---------------------------------------------------------------- metrics

@st.composite
def score_tables(draw):
    """Scores of both classes, each image a patient of its own."""
    scores = draw(st.lists(st.floats(0, 1, width=32), min_size=4, max_size=40))
    ill = draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    ill[:2] = [True, False]
    return pd.DataFrame({
        "split": "test", "path": [f"{number}.png" for number in range(len(scores))],
        "label": np.where(ill, "PNEUMONIA", "NORMAL"), "score": scores,
        "subtype": np.where(ill, "virus", "normal"), "patient": [f"p{number}" for number in range(len(scores))]})


@given(score_tables(), st.floats(0, 1))
def test_matrix_counts_every_image_once(scores, threshold):
    matrix = confusion(scores, threshold)
    assert matrix.n == len(scores)
    assert matrix.true_positives + matrix.false_negatives == (scores["label"] == "PNEUMONIA").sum()
    assert matrix.true_positives + matrix.false_positives == (scores["score"] >= threshold).sum()
    higher = confusion(scores, min(1.0, threshold + 0.1))
    assert higher.sensitivity <= matrix.sensitivity
    assert higher.specificity >= matrix.specificity
    turned = replace(matrix, true_negatives=matrix.true_positives, true_positives=matrix.true_negatives,
                     false_positives=matrix.false_negatives, false_negatives=matrix.false_positives)
    assert turned.sensitivity == matrix.specificity
    assert turned.accuracy == matrix.accuracy


@pytest.mark.slow
@settings(max_examples=15)
@given(score_tables(), st.floats(0.05, 0.95))
def test_estimates_lie_in_their_intervals_and_in_0_to_1(scores, threshold):
    estimates = evaluate_scores(scores, threshold, 20)
    for estimate in estimates.values():
        if np.isfinite(estimate.value):
            assert 0 <= estimate.value <= 1
        if estimate.interval == "Wilson" and np.isfinite(estimate.value):
            assert estimate.low - 1e-9 <= estimate.value <= estimate.high + 1e-9
    # Any rising function of the scores ranks as they do.
    moved = scores.assign(score=np.float32(0.5) * scores["score"].astype(np.float32))
    assert evaluate_scores(moved, threshold / 2, 20)["auc"].value == pytest.approx(estimates["auc"].value)

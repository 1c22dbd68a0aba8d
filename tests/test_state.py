"""The file from which a killed training goes on."""

import numpy as np
import pandas as pd
import pytest

from covidcnn.training.state import TrainingState, load_state, save_state

STATE = TrainingState(
    history=pd.DataFrame({"loss": [0.1, 1 / 3], "val_loss": [0.7, 0.2]}, index=pd.RangeIndex(1, 3, name="epoch")),
    # Twelve, so that sorting by name would not keep their order.
    weights=[np.full((2, place), place, np.float32) for place in range(12)],
    optimizer=[np.array(2**40, np.int64), np.array(0.1, np.float32)],
    best_weights=[np.arange(3, dtype=np.float32)], epoch_scores=np.array([[0.1, 1 / 3, 1], [0.5, 0.25, 0]]))


def test_what_is_read_is_what_was_written(tmp_path):
    save_state(tmp_path / "state.npz", "me", STATE)
    again = load_state(tmp_path / "state.npz", "me")
    pd.testing.assert_frame_equal(again.history, STATE.history, check_exact=True)
    np.testing.assert_array_equal(again.epoch_scores, STATE.epoch_scores)
    for part in ("weights", "optimizer", "best_weights"):
        for one, two in zip(getattr(again, part), getattr(STATE, part), strict=True):
            np.testing.assert_array_equal(one, two)
            assert one.dtype == two.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]


def test_state_of_another_training_is_refused(tmp_path, refused):
    save_state(tmp_path / "state.npz", "me", STATE)
    with refused(tmp_path / "state.npz", "other settings"):
        load_state(tmp_path / "state.npz", "you")


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_no_state_and_a_damaged_one_mean_beginning_anew(tmp_path, caplog, content):
    file = tmp_path / "state.npz"
    if content is None:
        save_state(file, "me", STATE)
        content = file.read_bytes()[:-40]
    file.write_bytes(content)
    assert load_state(tmp_path / "none.npz", "me") is None
    assert not caplog.messages
    assert load_state(file, "me") is None
    assert caplog.messages == [f"{file}: damaged or of another version; the training begins anew"]


@pytest.mark.parametrize("flag", [0x01, 0x20, 0x40])
def test_state_of_which_a_bit_says_that_it_is_encrypted_or_patched_is_damaged(tmp_path, flag):
    file = tmp_path / "state.npz"
    save_state(file, "me", STATE)
    content = bytearray(file.read_bytes())
    # General purpose flags, in the first entry of the archive and in its directory.
    for place in (content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8):
        content[place] |= flag
    file.write_bytes(content)
    assert load_state(file, "me") is None

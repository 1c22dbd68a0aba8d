"""The copy at 224 px: byte for byte the evidence's films, whole or not at all."""

import shutil

import numpy as np
import pytest
from PIL import Image

from covidcnn.data.dataset import open_dataset
from covidcnn.data.resized import write_resized


def test_originals_become_the_films_of_the_evidence(shared_originals, shared_films, tmp_path, run):
    code, out, err = run("data", "resize", shared_originals, tmp_path / "small")
    assert (code, out) == (0, f"56 films of 224 px: {tmp_path / 'small'}\n"), err
    made = sorted(path.relative_to(tmp_path / "small") for path in (tmp_path / "small").rglob("*.jpeg"))
    assert len(made) == 56
    for path in made:
        assert (tmp_path / "small" / path).read_bytes() == (shared_films / path).read_bytes(), path


def test_names_colour_and_nothing_else_are_kept(small_tree, tmp_path):
    described = Image.Exif()
    described[270] = "somebody's name"
    colour = next(small_tree.rglob("*.jpeg"))
    Image.fromarray(np.full((40, 60, 3), (200, 60, 30), np.uint8)).save(colour, exif=described)
    seen = []
    write_resized(open_dataset(small_tree), tmp_path / "copy", lambda *done: seen.append(done))
    assert seen[-1] == (20, 20)
    names = {path.relative_to(small_tree) for path in small_tree.rglob("*.jpeg")}
    assert {path.relative_to(tmp_path / "copy") for path in (tmp_path / "copy").rglob("*") if path.is_file()} == names
    with Image.open(tmp_path / "copy" / colour.relative_to(small_tree)) as film:
        assert (film.size, film.mode) == ((224, 224), "RGB")
        assert not film.getexif()
        np.testing.assert_allclose(np.asarray(film, float).mean(axis=(0, 1)), (200, 60, 30), atol=3)


def test_copy_says_whether_it_is_the_evidence(small_tree, tmp_path, run, monkeypatch):
    write_resized(open_dataset(small_tree), tmp_path / "first")
    monkeypatch.setattr("covidcnn.evidence.protocol.read_protocol",
                        lambda path: type("Protocol", (), {"data": open_dataset(tmp_path / "first").content_hash}))
    code, out, _ = run("data", "resize", small_tree, tmp_path / "second")
    assert (code, out) == (0, f"20 films of 224 px: {tmp_path / 'second'}, byte for byte those of the evidence\n")


@pytest.mark.parametrize("spoil", ["no JPEG", "taken"])
def test_what_cannot_be_copied_leaves_all_as_it_was(small_tree, tmp_path, run, spoil):
    (tmp_path / "small_copy").mkdir()
    if spoil == "taken":
        (tmp_path / "small_copy/mine").write_text("kept")
        named = f"{tmp_path / 'small_copy'}: there is something already"
    else:
        film = next(small_tree.rglob("*.jpeg"))
        with Image.open(film) as image:
            image.save(film.with_suffix(".png"))
        film.unlink()
        named = f"{film.with_suffix('.png')}: no JPEG file"
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run("data", "resize", small_tree, tmp_path / "small_copy")
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert named in err
    assert sorted(tmp_path.rglob("*")) == before


def test_film_that_vanished_is_named_and_nothing_is_left(small_tree, tmp_path, refused):
    dataset = open_dataset(small_tree)
    film = next(small_tree.rglob("*.jpeg"))
    film.unlink()
    with refused(film, "can no longer be read"):
        write_resized(dataset, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_copy_among_the_films_is_refused(small_tree, refused):
    with refused("lies among the films"):
        write_resized(open_dataset(small_tree), small_tree / "train/NORMAL/copy")
    assert not (small_tree / "train/NORMAL/copy").exists()


def test_published_films_that_do_not_become_the_evidence_are_warned_of(shared_films, tmp_path, run):
    """Their copy at 224 px, made again, is not what it was."""
    small = shutil.copytree(shared_films, tmp_path / "films")
    code, out, err = run("data", "resize", small, tmp_path / "again")
    assert (code, out) == (0, f"5856 films of 224 px: {tmp_path / 'again'}\n")
    assert "not byte for byte those of the evidence" in err

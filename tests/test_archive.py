"""Archives that are not what they should be: nothing outside the folder, and nothing out of bounds."""

import io
import stat
import zipfile

import pytest

from covidcnn.data.fetch import archive as archive_module
from covidcnn.data.fetch.archive import unpack_images
from covidcnn.errors import DataError

IMAGES = {f"chest_xray/{split}/{label}/{name}.jpeg": f"{split} {label} {name}".encode()
         for split in ("train", "val", "test") for label in ("NORMAL", "PNEUMONIA") for name in ("a", "b")}
KAGGLE = IMAGES | {
    **{f"chest_xray/{path}": content for path, content in IMAGES.items()},
    **{f"chest_xray/__MACOSX/{path.replace('/a.', '/._a.')}": b"litter" for path in IMAGES},
    "chest_xray/train/NORMAL/.DS_Store": b"litter", "chest_xray/train/NORMAL/._a.jpeg": b"litter",
    "chest_xray/README.txt": b"text", "chest_xray/train/OTHER/c.jpeg": b"no class of ours"}


def zip_of(members, path=None, change=None):
    """A ZIP archive; ``change`` is given the ZipFile before its directory is written."""
    target = path or io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        if change:
            change(archive)
    return path or target.getvalue()


def refuse(tmp_path, path, *words):
    """The archive is refused with these words, and nothing is written that is not in the folder for it."""
    folder = tmp_path / "in" / "folder"
    folder.mkdir(parents=True)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(DataError) as caught:
        unpack_images(path, folder)
    for word in (str(path), *words):
        assert word in str(caught.value)
    written = set(tmp_path.rglob("*")) - before
    assert all(folder in new.parents for new in written)
    return written


def test_images_are_installed_once_and_nothing_else(tmp_path):
    unpack_images(zip_of(KAGGLE, tmp_path / "a.zip"), tmp_path / "out")
    found = {f"chest_xray/{path.relative_to(tmp_path / 'out').as_posix()}": path.read_bytes()
             for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == IMAGES


@pytest.mark.parametrize("name", [
    "../outside.jpeg", "/outside.jpeg", "chest_xray/train/NORMAL/../../../../outside.jpeg",
    "/elsewhere/train/NORMAL/outside.jpeg", "../train/NORMAL/outside.jpeg", "C:/train/NORMAL/outside.jpeg",
    "..\\outside.jpeg", "chest_xray/train/NORMAL/a\0../../outside.jpeg"])
def test_name_that_leads_outside_is_refused_before_anything_is_unpacked(tmp_path, name):
    def rename(archive):
        # ZipInfo would make the name harmless.
        archive.filelist[-1].filename = name

    path = zip_of(IMAGES | {"x": b"x"}, tmp_path / "a.zip", rename)
    assert refuse(tmp_path, path, "leads outside") == set()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused_before_anything_is_unpacked(tmp_path, kind):
    def mark(archive):
        archive.filelist[-1].external_attr = (kind | 0o777) << 16

    path = zip_of(IMAGES | {"chest_xray/train/NORMAL/link.jpeg": b"/etc/passwd"}, tmp_path / "a.zip", mark)
    assert refuse(tmp_path, path, "link.jpeg", "a link or a device") == set()


def test_bomb_is_refused_before_anything_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "LARGEST_SET", 10_000_000)
    path = zip_of(IMAGES | {"chest_xray/train/NORMAL/bomb.jpeg": bytes(10_000_000)}, tmp_path / "a.zip")
    assert path.stat().st_size < 20_000
    assert refuse(tmp_path, path, "far more") == set()


def test_member_that_holds_more_than_it_declares_is_cut_and_refused(tmp_path):
    def understate(archive):
        archive.filelist[0].file_size = 1000

    path = zip_of({"chest_xray/train/NORMAL/bomb.jpeg": bytes(10_000_000)}, tmp_path / "a.zip", understate)
    written = refuse(tmp_path, path, "damaged")
    assert sum(file.stat().st_size for file in written if file.is_file()) <= 1000


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "MOST_MEMBERS", len(IMAGES) - 1)
    assert refuse(tmp_path, zip_of(IMAGES, tmp_path / "a.zip"), "12 members") == set()


def test_full_disk_is_said_before_anything_is_unpacked(tmp_path, monkeypatch, refused):
    monkeypatch.setattr(archive_module.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    archive, folder = zip_of(IMAGES, tmp_path / "a.zip"), tmp_path / "new" / ".out.temporary"
    with refused(f"{tmp_path / 'new'}: 0 MB free", "--out"):
        unpack_images(archive, folder)
    assert list((tmp_path / "new").iterdir()) == []


def test_encrypted_member_is_refused(tmp_path):
    def encrypt(archive):
        archive.filelist[0].flag_bits |= 1

    assert refuse(tmp_path, zip_of(IMAGES, tmp_path / "a.zip", encrypt), "encrypted") == set()


@pytest.mark.parametrize(("members", "words"), [
    ({"notes.txt": b"x"}, "no image"),
    ({"a/train/NORMAL/x.jpeg": b"x", "b/train/NORMAL/x.jpeg": b"x"}, "several data sets"),
    ({"a/train/NORMAL/x.exe": b"x"}, "no image"),
])
def test_archive_without_one_set_of_images_is_refused(tmp_path, members, words):
    assert refuse(tmp_path, zip_of(members, tmp_path / "a.zip"), words) == set()


def test_member_that_is_in_it_twice_is_refused(tmp_path):
    def repeat(archive):
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("chest_xray/train/NORMAL/a.jpeg", b"other")

    assert refuse(tmp_path, zip_of(IMAGES, tmp_path / "a.zip", repeat), "twice") == set()


@pytest.mark.parametrize("damage", ["no archive", "truncated", "a byte in an image"])
def test_damaged_archive_is_refused(tmp_path, damage):
    content = zip_of(IMAGES)
    place = content.index(b"a.jpeg") + 10
    (tmp_path / "a.zip").write_bytes({
        "no archive": b"<html>sign in</html>", "truncated": content[:-30],
        "a byte in an image": content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]}[damage])
    refuse(tmp_path, tmp_path / "a.zip", "download it again")


def test_archive_that_is_not_there_is_refused(tmp_path):
    refuse(tmp_path, tmp_path / "absent.zip", "cannot be read (No such file or directory)")


@pytest.mark.parametrize(("place", "value", "words"), [
    # In the archive's directory: the version that it asks for; patched data; names said to be UTF-8 that are not.
    (6, b"\xff\x00", "no ZIP archive"), (8, b"\x20\x00", "damaged"), (8, b"\x00\x08", "no ZIP archive")])
def test_archive_that_zipfile_cannot_read_is_refused_in_one_line(tmp_path, place, value, words):
    content = bytearray(zip_of({"train/NORMAL/a\u00e9.jpeg": b"a"}))
    entry = content.index(b"PK\x01\x02")
    content[entry + place:entry + place + 2] = value
    path = tmp_path / "a.zip"
    path.write_bytes(bytes(content[:entry]) + bytes(content[entry:]).replace(b"\xc3\xa9", b"\xc3\x28"))
    refuse(tmp_path, path, words)


def test_archive_whose_end_points_elsewhere_is_refused_in_one_line(tmp_path):
    content = bytearray(zip_of({"train/NORMAL/a.jpeg": b"a"}))
    # The last 22 bytes say where the directory begins: 256 bytes later than it does, here.
    content[-5] += 1
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    assert refuse(tmp_path, path, "lies outside the archive") == set()

"""Damaged and false files for every reader: run in a process of its own, which a crash of a decoder ends alone.

    python tests/fuzz.py FOLDER ROUNDS SEED

prints what came of it as JSON, or ends with the first file that was neither read nor refused, kept in FOLDER.
"""

import json
import logging
import resource
import struct
import sys
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from conftest import encoded
from dicom_files import POISON, POISONED_BYTES, functional_groups, write_dicom, write_jpeg_dicom
from PIL import Image, PngImagePlugin
from pydicom.data import get_testdata_file
from pydicom.uid import AllTransferSyntaxes, JPEG2000Lossless, RLELossless

from covidcnn.errors import DataError
from covidcnn.imaging.files import LARGEST_AREA
from covidcnn.imaging.reading import read_grey, read_header

SHAPE = (40, 48)
NUMBERS = (0, 1, 2, 3, 7, 8, 12, 15, 16, 17, 31, 32, 39, 41, 47, 49, 64, 127, 128, 255, 256, 4095, 4096, 9999, 32767,
           32768, 65535, 65536, 100_000, 2**24, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 2, 2**32 - 1)
TEXTS = [text.encode() for text in (
    "", "0", "-1", "1", "16", "1e400", "nan", "-inf", "9" * 16, "2147483647", "1.5", "\\\\", "1\\x", POISON,
    "MONOCHROME1", "RGB", "YBR_FULL_422", "PALETTE COLOR", "SIGMOID", "\xff\x00")]
LONG = (b"OB", b"OW", b"OF", b"SQ", b"UN", b"UT", b"OD", b"OL", b"UC", b"UR", b"OV", b"SV", b"UV")
KINDS_OF_VALUE = (*LONG, b"US", b"SS", b"UL", b"DS", b"IS", b"CS", b"UI", b"LO", b"PN", b"AT", b"FD", b"\0\0", b"ZZ")


def sound_files(folder: Path) -> dict[str, bytes]:
    """One file of each kind that the readers know, by name; every text in them is poison."""
    generator = np.random.default_rng(5)
    grey = np.cumsum(generator.normal(0, 4, SHAPE), axis=1).clip(-100, 100).astype(int) + 128
    image, deep = Image.fromarray(grey.astype(np.uint8)), (grey * 15).astype(np.uint16)
    exif = Image.Exif()
    exif[0x010E] = f"{POISON}^Jane"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", f"{POISON}^Jane", zip=True)
    options = {"JPEG": {"exif": exif, "comment": POISON}, "PNG": {"pnginfo": text}, "TIFF": {"description": POISON},
               "WEBP": {"exif": exif}, "GIF": {"comment": POISON}}
    files = {name: encoded(image.convert(mode), name.split()[0], **options.get(name.split()[0], {})) for name, mode in (
        ("JPEG grey", "L"), ("JPEG CMYK", "CMYK"), ("PNG grey", "L"), ("PNG palette", "P"), ("TIFF grey", "L"),
        ("GIF grey", "L"), ("BMP colour", "RGB"), ("WEBP colour", "RGB"))}
    files["JPEG progressive"] = encoded(image, "JPEG", progressive=True)
    files["PNG 16"] = encoded(Image.fromarray((grey * 250).astype(np.uint16)), "PNG")
    for packing in ("tiff_lzw", "tiff_adobe_deflate", "jpeg"):
        files[f"TIFF {packing}"] = encoded(image, "TIFF", compression=packing, description=POISON)
    shown = {"WindowCenter": [2000, 40], "WindowWidth": [3000, 80], "RescaleSlope": 1, "RescaleIntercept": -5}
    for name, compression in (("plain", ""), ("RLE", RLELossless), ("JPEG 2000", JPEG2000Lossless)):
        files[f"DICOM {name}"] = write_dicom(folder / "image", deep, 12, compression, **shown).read_bytes()
    files["DICOM colour"] = write_dicom(folder / "image", np.asarray(image.convert("RGB"))).read_bytes()
    files["DICOM JPEG"] = write_jpeg_dicom(folder / "image", np.asarray(image)).read_bytes()
    enhanced = {"SharedFunctionalGroupsSequence": functional_groups(**shown)}
    files["DICOM enhanced"] = write_dicom(folder / "image", deep, 12, **enhanced).read_bytes()
    # pydicom has no encoders of these kinds.
    for name, file in (("JPEG-LS", "MR_small_jpeg_ls_lossless.dcm"), ("JPEG of 12 bits", "JPEG-lossy.dcm")):
        files[f"DICOM {name}"] = Path(get_testdata_file(file)).read_bytes()
    return files


# ---------------------------------------------------------------- bytes

def with_bytes_changed(content: bytes, generator: np.random.Generator) -> bytes:
    """Bytes changed, and sometimes a piece cut out, doubled or cut off. The mark of DICOM is kept."""
    start = 132 if content[128:132] == b"DICM" else 0
    data = bytearray(content)
    for _ in range(generator.choice([1, 2, 4, 16])):
        place = int(generator.integers(start, len(data)))
        length = int(generator.integers(1, 40))
        match generator.integers(0, 8):
            case 0:
                del data[max(place, start + 8) :]
            case 1:
                del data[place : place + length]
                data += b"\0" * 8
            case 2:
                data[place:place] = data[place : place + length]
            case 3:
                data[place : place + 4] = b"\xff\xff\xff\xff"
            case _:
                data[place] = int(generator.integers(0, 256))
    return bytes(data)


# ---------------------------------------------------------------- numbers of picture files

def png_fields(content: bytes) -> list[tuple[int, str]]:
    """(place, format of struct) of every number that a PNG's reader believes: sizes, depths, lengths."""
    fields, place = [(16, ">I"), (20, ">I"), *((place, "B") for place in range(24, 29))], 8
    while place < len(content):
        fields.append((place, ">I"))
        place += 12 + int.from_bytes(content[place : place + 4], "big")
    return fields


def tiff_fields(content: bytes) -> list[tuple[int, str]]:
    """As above, as in the others."""
    directory = int.from_bytes(content[4:8], "little")
    entries = int.from_bytes(content[directory : directory + 2], "little")
    places = [directory + 2 + 12 * number for number in range(entries)]
    return [(4, "<I"), (directory, "<H"), (directory + 2 + 12 * entries, "<I"),
            *(field for place in places
              for field in ((place, "<H"), (place + 2, "<H"), (place + 4, "<I"), (place + 8, "<I")))]


def jpeg_fields(content: bytes) -> list[tuple[int, str]]:
    fields, place = [], 2
    while content[place] == 0xFF and content[place + 1] != 0xDA:
        fields += [(place + 1, "B"), (place + 2, ">H")]
        if content[place + 1] in (0xC0, 0xC2):
            fields += [(place + 4, "B"), (place + 5, ">H"), (place + 7, ">H"), (place + 9, "B"), (place + 11, "B")]
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return [*fields, (place + 2, ">H"), (place + 4, "B")]


FIELDS = {
    "PNG": png_fields, "TIFF": tiff_fields, "JPEG": jpeg_fields,
    "GIF": lambda content: [(6, "<H"), (8, "<H"), (10, "B"),
                            *((content.index(b"\x2c", 700) + place, "<H") for place in (1, 3, 5, 7))],
    "BMP": lambda content: [(place, "<I") for place in (2, 10, 14, 18, 22, 30, 34, 46, 50)] + [(26, "<H"), (28, "<H")],
    "WEBP": lambda content: [(4, "<I"), (16, "<I"), (24, "<H"), (26, "<H"), (28, "<H"), (30, "<I")],
}


def with_numbers_changed(kind: str, content: bytes, generator: np.random.Generator) -> bytes:
    """One to three of the numbers that a reader believes are others; a PNG's checksums are right again."""
    data, fields = bytearray(content), FIELDS[kind](content)
    for _ in range(generator.integers(1, 4)):
        place, form = fields[generator.integers(len(fields))]
        struct.pack_into(form, data, place, int(generator.choice(NUMBERS)) % 256 ** struct.calcsize(form))
    if kind == "PNG":
        for place, length in ((8, 13), *((place, int.from_bytes(content[place : place + 4], "big"))
                                         for place, _ in png_fields(content)[7:])):
            struct.pack_into(">I", data, place + 8 + length, zlib.crc32(data[place + 4 : place + 8 + length]))
    return bytes(data)


# ---------------------------------------------------------------- elements of DICOM

def elements_of(content: bytes) -> list[tuple[bytes, bytes, bytes, int]]:
    """(tag, value representation, value, stated length) of each element of an Explicit VR Little Endian file."""
    place, found = 132, []
    while place < len(content):
        tag, kind = content[place : place + 4], content[place + 4 : place + 6]
        form, at = ("<I", 8) if kind in LONG else ("<H", 6)
        (length,) = struct.unpack_from(form, content, place + at)
        start = place + at + struct.calcsize(form)
        # Of undefined length: compressed pixels, the last element here.
        end = min(start + length, len(content))
        found.append((tag, kind, content[start:end], length))
        place = end
    return found


def joined(elements: list[tuple[bytes, bytes, bytes, int]]) -> bytes:
    parts = [b"\0" * 128 + b"DICM"]
    for tag, kind, value, length in elements:
        stated = struct.pack("<HI", 0, length % 2**32) if kind in LONG else struct.pack("<H", length % 2**16)
        parts.append(tag + kind + stated + value)
    return b"".join(parts)


def nested(depth: int) -> bytes:
    """The items of a VOI LUT sequence that holds another, and so on."""
    return b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x28\x00\x10\x30SQ\0\0\xff\xff\xff\xff" * depth + b"\0" * 8


def lookup(generator: np.random.Generator) -> bytes:
    """The item of a lookup table whose descriptor and data need not agree."""
    descriptor = struct.pack("<3H", *(int(number) % 65536 for number in generator.choice(NUMBERS, 3)))
    data = generator.bytes(2 * int(generator.choice([0, 1, 3, 255, 256])))
    item = (b"\x28\x00\x02\x30US\x06\0" + descriptor
            + b"\x28\x00\x06\x30" + b"US" + struct.pack("<H", len(data)) + data)
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item


def with_elements_changed(content: bytes, generator: np.random.Generator) -> bytes:
    """One to three elements are missing, doubled, of another kind, value or stated length, or a sequence is added."""
    elements = elements_of(content)
    # What says how the pixels lie, and the pixels, more often than the rest.
    telling = [place for place, (tag, *_) in enumerate(elements) if tag[:2] in (b"\x28\0", b"\xe0\x7f", b"\x02\0")]
    for _ in range(generator.integers(1, 4)):
        place = int(generator.choice(telling)) % len(elements)
        tag, kind, value, length = elements[place]
        match generator.integers(0, 9):
            case 0:
                del elements[place]
            case 1:
                elements.insert(int(generator.integers(len(elements))), elements[place])
            case 2:
                elements[place] = tag, KINDS_OF_VALUE[generator.integers(len(KINDS_OF_VALUE))], value, length
            case 3:
                elements[place] = tag, kind, value, int(generator.choice([*NUMBERS, length + 1, length - 1]))
            case 4:
                added = nested(int(generator.choice([1, 20, 2000]))) if generator.random() < 0.3 else lookup(generator)
                where = int(generator.choice(telling)) % len(elements)
                name = (b"\x28\0\x10\x30", b"\x28\0\0\x30")[generator.integers(2)]
                elements.insert(where, (name, b"SQ", added, int(generator.choice([len(added), 2**32 - 1]))))
            case _ if kind in (b"US", b"UL", b"SS"):
                form = "<I" if kind == b"UL" else "<H"
                new = struct.pack(form, int(generator.choice(NUMBERS)) % 256 ** struct.calcsize(form))
                elements[place] = tag, kind, new, len(new)
            case _ if kind == b"UI":
                syntax = AllTransferSyntaxes[generator.integers(len(AllTransferSyntaxes))].encode()
                syntax += b"\0" * (len(syntax) % 2)
                elements[place] = tag, kind, syntax, len(syntax)
            case _ if kind in LONG:
                elements[place] = tag, kind, with_bytes_changed(value, generator), length
            case _:
                new = TEXTS[generator.integers(len(TEXTS))]
                new += b" " * (len(new) % 2)
                elements[place] = tag, kind, new, len(new)
        if not elements:
            break
        telling = [place for place in telling if place < len(elements)] or [0]
    return joined(elements)


# ---------------------------------------------------------------- reading

def fuzz(files: dict[str, bytes], path: Path, rounds: int, seed: int) -> dict[str, object]:
    """Read mutations of every kind of file, each as ``path``; the first that is neither read nor refused raises
    AssertionError."""
    counts, problems = Counter(), Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, content in files.items():
        path.write_bytes(content)
        assert min(read_grey(path).shape) >= min(SHAPE), name
        generator = np.random.default_rng([seed, *name.encode()])
        kind = name.split()[0]
        for number in range(rounds):
            if number % 2:
                changed = with_bytes_changed(content, generator)
            elif kind == "DICOM":
                changed = with_elements_changed(content, generator)
            else:
                changed = with_numbers_changed(kind, content, generator)
            path.write_bytes(changed)
            where = f"{name}, round {number}"
            try:
                header, image = read_header(path), read_grey(path)
            except DataError as error:
                line = str(error)
                assert line.startswith(f"{path}: "), where
                assert "\n" not in line, where
                assert len(line) < 500, where
                assert not any(word.decode() in line for word in POISONED_BYTES), where
                counts[f"{kind} refused"] += 1
                problems[line.removeprefix(f"{path}: ")] += 1
                continue
            except Exception as error:
                raise AssertionError(where) from error
            assert image.dtype == np.uint8, where
            assert image.ndim == 2, where
            assert min(image.shape) >= 16, where
            assert image.size <= LARGEST_AREA, where
            assert header.frames >= 1, where
            counts[f"{kind} read"] += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"counts": counts, "megabytes": grown / 1000, "problems": problems.most_common(12)}


if __name__ == "__main__":
    sound = sound_files(Path(sys.argv[1]))
    # Whatever pydicom and the decoders have to say must not be said.
    logging.basicConfig(level=0)
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    print(json.dumps(fuzz(sound, Path(sys.argv[1], "image"), *map(int, sys.argv[2:]))))

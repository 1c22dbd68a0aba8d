"""DICOM files for tests, written by pydicom; every text in them is poison that must not be seen again."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage, generate_uid

from covidcnn.imaging.dicom import _ATTRIBUTES, _BY_FRAME

POISON = "Poisonous"
POISONED = {
    "PatientName": f"{POISON}^Jane", "PatientID": f"{POISON}-4711", "PatientBirthDate": "19420230",
    "PatientAddress": f"{POISON} Street", "InstitutionName": f"{POISON} Hospital", "StationName": POISON,
    "ReferringPhysicianName": f"{POISON}^Doctor", "AccessionNumber": POISON, "StudyDescription": POISON,
    "SeriesDescription": POISON, "StudyDate": "19420230", "OperatorsName": POISON, "ImageComments": POISON,
    "DeviceSerialNumber": POISON, "BodyPartExamined": POISON.upper(), "ProtocolName": POISON,
}
POISON_BY_KIND = {"PN": f"{POISON}^Jane", "CS": POISON.upper(), "AE": POISON.upper(), "DA": "19420230",
                  "DT": "19420230101010", "UI": "1.2.4711.19420230", "IS": "4711", "UN": POISON.encode(),
                  **dict.fromkeys(("LO", "SH", "ST", "LT", "UT", "UC", "UR"), f"{POISON} 4711")}
POISONED_BYTES = (POISON.encode(), POISON.upper().encode(), b"19420230", b"4711")


def dicom_dataset(pixels: np.ndarray, bits: int | None = None, **attributes: object) -> Dataset:
    """An image as a DICOM data set; ``attributes`` set or, if None, remove others.

    ``pixels`` are (height, width), (frames, height, width), or with a last axis of 3 in colour.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    colour = pixels.shape[-1] == 3
    frames = pixels.ndim - colour == 3
    dataset.Rows, dataset.Columns = pixels.shape[frames : frames + 2]
    if frames:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in (POISONED | attributes).items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
    return dataset


def write_poisoned_dicom(path: Path, pixels: np.ndarray, **attributes: object) -> Path:
    """A DICOM file in which every attribute of the standard that holds text, a date or a number by which somebody or
    something is known, private elements, the file's own header and its preamble are poison."""
    dataset, item = dicom_dataset(pixels, **attributes), Dataset()
    with pydicom.config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tag, (kind, _, _, retired, keyword) in DicomDictionary.items():
            # What says how the image is to be read stays; file header (0002) and command sets (0000) are no part of it.
            if (kind in POISON_BY_KIND and not retired and tag >> 16 not in (0, 2, 4, 0xFFFE)
                    and keyword not in (*_ATTRIBUTES, "SpecificCharacterSet")):
                item.add_new(tag, kind, POISON_BY_KIND[kind])
        dataset.update(item)
        dataset.RequestAttributesSequence = pydicom.Sequence([item])
        dataset.add_new(0x00110010, "LO", POISON)
        dataset.add_new(0x00111001, "UN", POISON.encode())
        meta = dataset.file_meta
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        meta.SourceApplicationEntityTitle = meta.ImplementationVersionName = POISON.upper()
        meta.PrivateInformationCreatorUID, meta.PrivateInformation = POISON_BY_KIND["UI"], POISON.encode() + b"\0"
        dataset.preamble = POISON.encode().ljust(128)
        dataset.save_as(path, enforce_file_format=True)
    return path


def write_dicom(path: Path, pixels: np.ndarray, bits: int | None = None, compression: str = "",
                **attributes: object) -> Path:
    """Write a DICOM file, compressed with a transfer syntax for which pydicom has an encoder."""
    dataset = dicom_dataset(pixels, bits, **attributes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if compression:
            dataset.compress(compression)
        dataset.save_as(path, enforce_file_format=True)
    return path


def write_jpeg_dicom(path: Path, pixels: np.ndarray, empty_spectrum: bool = False, **attributes: object) -> Path:
    """A DICOM file around a baseline JPEG of 8-bit greys; its scan may lack the end of its spectrum."""
    from conftest import encoded

    dataset = dicom_dataset(pixels, **attributes)
    jpeg = encoded(Image.fromarray(pixels), "JPEG", quality=95)
    dataset.PixelData = encapsulate([jpeg.replace(b"\0\x3f\0", b"\0\0\0", 1) if empty_spectrum else jpeg])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(path, enforce_file_format=True)
    return path


def without_mark(path: Path) -> Path:
    """Cut off a DICOM file's preamble, mark and file header (group 0002)."""
    content = path.read_bytes()
    path.write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])
    return path


def lookup_table(entries: list[int] | np.ndarray, first: int, depth: int, packed: bool = False) -> pydicom.Sequence:
    """A modality or VOI LUT sequence, its entries words or packed two to a word."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, depth])
    item.add_new("LUTData", "OW", np.asarray(entries, np.uint8 if packed else np.uint16).tobytes())
    return pydicom.Sequence([item])


def functional_groups(**attributes: object) -> pydicom.Sequence:
    """A functional groups sequence of one frame that holds each attribute in the sequence where it belongs."""
    frame = Dataset()
    for sequence, names in _BY_FRAME.items():
        item = Dataset()
        for name in names:
            if name in attributes:
                setattr(item, name, attributes[name])
        setattr(frame, sequence, pydicom.Sequence([item]))
    return pydicom.Sequence([frame])

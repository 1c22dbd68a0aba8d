"""From a file to the model's input: image files of any usual kind, DICOM among them, and grey-level transforms."""

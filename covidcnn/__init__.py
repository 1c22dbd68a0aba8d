"""One published chest X-ray CNN paper, made executable.

The notebooks under ``notebooks/`` narrate and call; this library does. Import the module that you need,
for example ``from covidcnn.data.dataset import open_dataset``: nothing is loaded before it is used.
"""

import os

__version__ = "0.1.0"

# TensorFlow reads these once, when it is first imported: without them every notebook and every
# command would open with a page about missing graphics cards and instruction sets.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

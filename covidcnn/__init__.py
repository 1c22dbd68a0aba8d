"""One published chest X-ray CNN paper, made executable.

The notebooks under ``notebooks/`` narrate and call; this library does. Import the module that you need,
for example ``from covidcnn.data.dataset import open_dataset``: nothing is loaded before it is used.
"""

import os

__version__ = "0.2.0"

# TensorFlow and Keras read these once, when they are first imported.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# Without it every command would open with a page about missing graphics cards and instruction sets.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The faster kernels for processors; TensorFlow switches them on by itself only where there is AVX512.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# NumPy's products here are small: a second thread gains nothing, and costs several times as much where another process
# has the core, for it waits for it busily. NumPy reads this when it is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

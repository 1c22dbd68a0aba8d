"""The precision of a training: bfloat16 where the machine multiplies it in hardware, else float32.

bfloat16 halves the memory that activations take and makes products faster; weights, optimizer and batch-normalisation
statistics stay in float32. benchmarks/README.md shows what it gains, and that it costs nothing in validation scores.
"""

import ctypes
from functools import lru_cache
from pathlib import Path

from covidcnn.errors import named

PRECISIONS = ("auto", "float32", "bfloat16")

_CPU_FLAGS = ("avx512_bf16", "amx_bf16")
_CPUINFO = Path("/proc/cpuinfo")


def resolve_precision(name: str) -> str:
    """'float32' or 'bfloat16', of ``PRECISIONS``; 'auto' asks the machine."""
    named(dict.fromkeys(PRECISIONS), name, "precision")
    return _machine_precision() if name == "auto" else name


def keras_policy(precision: str) -> str:
    """Keras's name for a resolved precision."""
    return "mixed_bfloat16" if precision == "bfloat16" else precision


def processor_has_bfloat16(cpuinfo: str) -> bool:
    """Whether the flags in the text of Linux's ``/proc/cpuinfo`` name products of bfloat16."""
    flags = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "").split()
    return any(flag in flags for flag in _CPU_FLAGS)


@lru_cache(maxsize=1)
def _machine_precision() -> str:
    if _has_gpu_driver():
        from covidcnn.backend import tf

        # NVIDIA's generations from Ampere on (8.0) multiply bfloat16.
        if tf is None:
            import jax

            for device in jax.devices():
                return "bfloat16" if float(getattr(device, "compute_capability", 0)) >= 8 else "float32"
        for device in tf.config.list_physical_devices("GPU"):
            major, _ = tf.config.experimental.get_device_details(device).get("compute_capability", (0, 0))
            return "bfloat16" if major >= 8 else "float32"
    # Other systems do not say; float32 is right everywhere.
    return "bfloat16" if _CPUINFO.is_file() and processor_has_bfloat16(_CPUINFO.read_text()) else "float32"


def _has_gpu_driver() -> bool:
    """Whether NVIDIA's driver is here: TensorFlow finds no GPU without it, and takes seconds to say so."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True

"""The precision of a training: bfloat16 where the machine is faster in it, else float32.

bfloat16 halves the memory that activations take and makes products faster; weights, optimizer and batch-normalisation
statistics stay in float32. benchmarks/README.md shows what it gains, and that it costs nothing in validation scores.
"""

import ctypes
from functools import lru_cache
from pathlib import Path

PRECISIONS = ("auto", "float32", "bfloat16")

_CPUINFO = Path("/proc/cpuinfo")


def resolve_precision(name: str) -> str:
    """'float32' or 'bfloat16', of ``PRECISIONS``; 'auto' asks the machine."""
    return _machine_precision() if name == "auto" else name


def keras_policy(precision: str) -> str:
    """Keras's name for a resolved precision."""
    return "mixed_bfloat16" if precision == "bfloat16" else precision


def processor_gains_by_bfloat16(cpuinfo: str) -> bool:
    """Whether the text of Linux's ``/proc/cpuinfo`` is that of a processor that is faster in bfloat16 than in float32.

    With AMX it is, and AMD's are with AVX512-BF16 alone. Intel's are not: on virtual machines that hide AMX a product
    of bfloat16 was measured at half of float32's speed (benchmarks/README.md).
    """
    first: dict[str, list[str]] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        first.setdefault(name.strip(), value.split())
    flags = first.get("flags", [])
    return "amx_bf16" in flags or ("avx512_bf16" in flags and first.get("vendor_id") == ["AuthenticAMD"])


@lru_cache(maxsize=1)
def _machine_precision() -> str:
    if _has_gpu_driver():
        from covidcnn.backend import tf

        # NVIDIA's generations from Ampere on (8.0) multiply bfloat16.
        if tf is None:
            import jax

            return "bfloat16" if float(getattr(jax.devices()[0], "compute_capability", 0)) >= 8 else "float32"
        for device in tf.config.list_physical_devices("GPU"):
            major, _ = tf.config.experimental.get_device_details(device).get("compute_capability", (0, 0))
            return "bfloat16" if major >= 8 else "float32"
    # Other systems do not say; float32 is right everywhere.
    return "bfloat16" if _CPUINFO.is_file() and processor_gains_by_bfloat16(_CPUINFO.read_text()) else "float32"


def _has_gpu_driver() -> bool:
    """Whether NVIDIA's driver is here: TensorFlow finds no GPU without it, and takes seconds to say so."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True

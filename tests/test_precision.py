"""Which precision a machine gets."""

import pytest

from covidcnn.backend import tf
from covidcnn.training import precision
from covidcnn.training.precision import keras_policy, processor_gains_by_bfloat16, resolve_precision

ZEN_3 = "processor : 0\nflags : fpu sse avx avx2 fma f16c\n"
ZEN_4 = "processor : 0\nvendor_id\t: AuthenticAMD\nflags : fpu avx2 avx512f avx512_bf16 avx512vl\n"
SAPPHIRE_RAPIDS = "processor : 0\nvendor_id\t: GenuineIntel\nflags : avx512f avx512_bf16 amx_tile amx_bf16\n"
WITHOUT_AMX = SAPPHIRE_RAPIDS.replace(" amx_tile amx_bf16", "")
"""As virtual machines show it: half as fast in bfloat16 as in float32."""


def test_processor_flags_decide():
    texts = (ZEN_3, ZEN_4, SAPPHIRE_RAPIDS, WITHOUT_AMX, "", "flags :\n")
    assert [processor_gains_by_bfloat16(text) for text in texts] == [False, True, True, False, False, False]
    assert not processor_gains_by_bfloat16("model name : amx_bf16\nflags : avx2\n")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    def pretend(cpuinfo, gpus=()):
        file = tmp_path / "cpuinfo"
        file.write_text(cpuinfo)
        monkeypatch.setattr(precision, "_CPUINFO", file)
        monkeypatch.setattr(precision, "_has_gpu_driver", lambda: bool(gpus))
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(gpus))
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": gpu})
        precision._machine_precision.cache_clear()

    yield pretend
    precision._machine_precision.cache_clear()


@pytest.mark.parametrize(("cpuinfo", "gpus", "expected"), [
    (ZEN_3, [], "float32"), (ZEN_4, [], "bfloat16"), (ZEN_3, [(8, 0)], "bfloat16"), (ZEN_3, [(9, 0)], "bfloat16"),
    (ZEN_4, [(7, 5)], "float32"),  # a GPU that lacks it does the work, whatever the processor has
])
def test_auto_asks_the_machine(machine, cpuinfo, gpus, expected):
    machine(cpuinfo, gpus)
    assert resolve_precision("auto") == expected


def test_what_is_asked_for_is_taken(machine):
    machine(ZEN_3)
    assert resolve_precision("bfloat16") == "bfloat16"
    machine(ZEN_4)
    assert resolve_precision("float32") == "float32"


def test_system_that_does_not_say_gets_float32(machine, monkeypatch, tmp_path):
    machine(ZEN_4)
    monkeypatch.setattr(precision, "_CPUINFO", tmp_path / "none")
    assert resolve_precision("auto") == "float32"


def test_names_that_keras_knows():
    assert [keras_policy(name) for name in ("float32", "bfloat16")] == ["float32", "mixed_bfloat16"]

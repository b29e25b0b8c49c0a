"""What a machine has."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from study.machine import hardware
from study.machine.hardware import Hardware, detect


def test_detecting_this_machine() -> None:
    found = detect()
    assert found.cpus >= 1
    assert 0.1 < found.memory_gib < 1e6
    assert found.cpu_name
    assert found.to_dict()["cpus"] == found.cpus


def test_processors_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert hardware._cpus() == 3


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 1),
        ("50000 100000", 1),
        ("9900000 100000", 8),
    ],
)
def test_a_containers_quota_counts(quota: str, cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(Path, "read_text", lambda _: quota + "\n")
    assert hardware._cpus() == cpus


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def smi(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[0] == "nvidia-smi"
        return subprocess.CompletedProcess(command, 0, stdout="H100, with a comma, 9.0\nT4, 7.5\n")

    monkeypatch.setattr(subprocess, "run", smi)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("visible", "count"), [(None, 2), ("0,1", 2), ("1", 1), ("", 0), ("-1", 0), (" ", 0)]
)
def test_gpus_are_those_left_visible(
    visible: str | None, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert len(hardware._gpus()) == count


@pytest.mark.usefixtures("two_gpus")
def test_gpus_are_named_with_their_compute_capability() -> None:
    assert hardware._gpus() == (("H100, with a comma", 9.0), ("T4", 7.5))


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("visible", "bf16"), [("0", True), ("0,1", False)])
def test_gpus_compute_in_bf16_if_all_of_them_do(
    visible: str, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert detect().gpu_bf16 is bf16


@pytest.mark.parametrize(
    ("printed", "gpus"),
    [
        ("GRID A100, [N/A]\n", (("GRID A100", 0.0),)),
        ("WARNING: infoROM is corrupted\nT4, 7.5\n", (("T4", 7.5),)),
        ("", ()),
    ],
)
def test_what_nvidia_smi_may_say_beside(
    printed: str, gpus: tuple[tuple[str, float], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, stdout=printed)
    )
    assert hardware._gpus() == gpus


def test_a_driver_that_tells_no_compute_capability_still_has_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def old(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        known = "--query-gpu=name" in command
        return subprocess.CompletedProcess(command, 0 if known else 2, stdout="K80\nK80\n" if known else "?")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(subprocess, "run", old)
    assert hardware._gpus() == (("K80", 0.0),) * 2
    assert detect().gpu_bf16 is False


def test_precision_follows_what_trains() -> None:
    found = Hardware(8, "test", 8.0, ("H100",), cpu_bf16=False, gpu_bf16=True)
    assert (found.bf16(1), found.bf16(0.5), found.bf16(0)) == (True, True, False)


@pytest.mark.parametrize(
    ("flags", "bf16"),
    [
        ("fpu avx512f avx512_bf16 sse", True),
        ("amx_bf16 amx_tile", True),
        ("fpu avx2 avx512f", False),
        ("", False),
    ],
)
def test_a_cpu_computes_in_bf16_by_its_flags(flags: str, bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in hardware.HELD_BELOW_BF16:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(hardware, "_cpu_info", {"flags": flags}.__getitem__)
    assert hardware._cpu_bf16() is bf16


@pytest.mark.parametrize(
    ("onednn", "aten", "bf16"),
    [
        ("AVX2", "", False),
        ("avx2", "", False),
        ("AVX512_CORE", "", False),
        ("AVX512_CORE_VNNI", "avx512", False),
        ("", "avx2", False),
        ("DEFAULT", "default", False),
        ("AVX512_CORE_BF16", "", True),
        ("AVX512_CORE_AMX", "", True),
        ("AVX10_1_512", "", True),
        ("ALL", "avx512", True),
        ("", "", True),
    ],
)
def test_a_cpu_held_to_what_a_smaller_one_has_does_not(
    onednn: str, aten: str, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", onednn)
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", aten)
    monkeypatch.setattr(hardware, "_cpu_info", {"flags": "avx512_bf16 amx_bf16"}.__getitem__)
    assert hardware._cpu_bf16() is bf16


def test_no_driver_means_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any, **__: Any) -> None:
        raise FileNotFoundError

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(subprocess, "run", absent)
    assert hardware._gpus() == ()


def test_a_driver_without_a_device_means_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 9, stdout="NVIDIA-SMI has failed\n")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(subprocess, "run", failing)
    assert hardware._gpus() == ()


def test_looking_at_the_machine_does_not_import_torch() -> None:
    code = "import sys; from study.machine.hardware import detect; detect(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize(("text", "limited"), [("1073741824\n", True), ("max\n", False), (None, False)])
def test_a_containers_memory_is_what_it_may_use(
    text: str | None, limited: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "CGROUP", tmp_path)
    if text is not None:
        (tmp_path / "memory.max").write_text(text)
    assert (hardware.detect().memory_gib == 1.0) == limited


def test_a_containers_cpus_are_its_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "CGROUP", tmp_path)
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert hardware.detect().cpus == 1

"""What this machine has."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

BF16_FLAGS = {"avx512_bf16", "amx_bf16"}  # of CPUs, in /proc/cpuinfo
# With these variables users hold oneDNN and torch to what a smaller CPU has: values that leave no bfloat16.
HELD_BELOW_BF16 = {
    "ONEDNN_MAX_CPU_ISA": r"sse41|avx|avx2(_vnni(_2)?)?|avx512_core(_vnni)?",
    "ATEN_CPU_CAPABILITY": r"default|avx2",
}
BF16_CAPABILITY = 8.0  # of GPUs: Ampere and later
CGROUP = Path("/sys/fs/cgroup")  # of this process, in a container


@dataclass(frozen=True)
class Hardware:
    """Processors this process may use, and the machine's GPUs by name.

    Attributes:
        cpu_bf16, gpu_bf16: whether the CPU, and every GPU, has instructions for bfloat16 that may be used.
        machines: CPUs and GPUs of each machine of a cluster; none where it is one machine.
    """

    cpus: int
    cpu_name: str
    memory_gib: float
    gpus: tuple[str, ...]
    cpu_bf16: bool
    gpu_bf16: bool
    machines: tuple[tuple[int, int], ...] = ()

    def bf16(self, gpus_per_trial: float) -> bool:
        """Whether what trains has instructions for bfloat16."""
        return self.gpu_bf16 if gpus_per_trial else self.cpu_bf16

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def detect() -> Hardware:
    """Look at the machine without importing torch."""
    gpus = _gpus()
    return Hardware(
        cpus=_cpus(),
        cpu_name=cpu_name(),
        memory_gib=round(_memory_bytes() / 2**30, 1),
        gpus=tuple(name for name, _ in gpus),
        cpu_bf16=_cpu_bf16(),
        gpu_bf16=bool(gpus) and all(capability >= BF16_CAPABILITY for _, capability in gpus),
    )


def together(machines: Sequence[Hardware]) -> Hardware:
    """What several machines have in all."""
    names = Counter(machine.cpu_name for machine in machines)
    gpus = [machine for machine in machines if machine.gpus]
    return Hardware(
        cpus=sum(machine.cpus for machine in machines),
        cpu_name=", ".join(f"{number} x {name}" for name, number in names.items()),
        memory_gib=round(sum(machine.memory_gib for machine in machines), 1),
        gpus=tuple(name for machine in machines for name in machine.gpus),
        cpu_bf16=all(machine.cpu_bf16 for machine in machines),
        gpu_bf16=bool(gpus) and all(machine.gpu_bf16 for machine in gpus),
        machines=tuple((machine.cpus, len(machine.gpus)) for machine in machines),
    )


def cpu_name() -> str:
    return _cpu_info("model name") or "unknown"


def _cpus() -> int:
    """Processors of this process: its affinity, and a container's quota where there is one."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = CGROUP / "cpu.max"
    if quota.exists():
        limit, period = quota.read_text().split()
        if limit != "max":
            cpus = min(cpus, max(1, int(limit) // int(period)))
    return cpus


def _memory_bytes() -> int:
    """The machine's, or a container's limit where that is less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = CGROUP / "memory.max"
    if limit.exists() and (text := limit.read_text().strip()) != "max":
        memory = min(memory, int(text))
    return memory


def _cpu_info(field: str) -> str:
    """The first processor's entry in /proc/cpuinfo; empty where there is none."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith(field):
                return line.partition(":")[2].strip()
    return ""


def _cpu_bf16() -> bool:
    for variable, values in HELD_BELOW_BF16.items():
        if re.fullmatch(values, os.environ.get(variable, ""), re.IGNORECASE):
            return False
    return not BF16_FLAGS.isdisjoint(_cpu_info("flags").split())


def _gpus() -> tuple[tuple[str, float], ...]:
    """Name and compute capability of the NVIDIA GPUs that CUDA_VISIBLE_DEVICES leaves visible."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return ()
    lines = _query_gpus("name,compute_cap")
    if lines is None:  # a driver of before 2021 does not know compute_cap
        lines = [f"{name}, 0" for name in _query_gpus("name") or []]
    gpus = []
    for line in lines:
        name, comma, capability = line.rpartition(",")
        if comma:  # else it is a warning
            try:
                gpus.append((name.strip(), float(capability)))
            except ValueError:  # "[N/A]"
                gpus.append((name.strip(), 0.0))
    return tuple(gpus[: len(visible.split(","))] if visible else gpus)


def _query_gpus(fields: str) -> list[str] | None:
    """A line for each GPU; None where the driver refuses the question, empty where there is none."""
    try:
        found = subprocess.run(
            ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return found.stdout.splitlines() if found.returncode == 0 else None

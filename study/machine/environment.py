"""What computes a trial, as far as its bits depend on it."""

import socket
from typing import Any

import torch

from study.machine.hardware import cpu_name


def environment(device: torch.device) -> dict[str, Any]:
    """This process: host, CPU and GPU by name, torch and the CPU instructions that it uses, threads."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "host": socket.gethostname(),
        "cpu": cpu_name(),
        "gpu": gpu,
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }

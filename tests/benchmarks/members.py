"""The member dimension of a convolution: which way of computing M members is fastest, shape by shape.

python -m tests.benchmarks.members [--device cpu|cuda] [--members M ...] [--precision fp32|bf16] [--json FILE]

For the 4x4 convolution of stride 2 between two maps of the DCGAN, its input gradient (which is the transposed
convolution) and its weight gradient, the ways take turns:

    grouped         one grouped convolution, NCHW (torch and, on a GPU, cuDNN)
    channels-last   the same, the maps and weights with channels last
    patches         unfolded patches and one batched matrix product
    by member       a convolution for each member, one after the other, channels last
    ours            what the networks use (study/networks/convolution.py)
    graphs          on a GPU: by member, each member's captured graph on a stream of its own

Times are milliseconds a member, medians over rounds; on a GPU every way but the last is one captured graph,
so that launches don't count.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from study.command import whole_at_least
from study.machine.hardware import detect
from study.machine.memory import keep_freed_memory
from study.networks import convolution
from tests.benchmarks.training import timed

ROUNDS, TURN_SECONDS = 7, 0.05
BATCH = 64
# Channels and side of the large map, channels of the small one: layers of the training benchmark's DCGANs.
SHAPES = ((32, 8, 64), (64, 16, 128), (128, 8, 256), (64, 32, 128), (128, 16, 256), (256, 8, 512))
OPERATIONS = ("forward", "input gradient", "weight gradient")
Way = Callable[[], object]


def last(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


def kernel_last(weight: Tensor) -> Tensor:
    """(M, O, C, 4, 4) with channels last in memory, as the networks keep it."""
    return weight.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)


def gradient(maps: Tensor, gradient: Tensor, weight: Tensor, groups: int, which: int) -> Tensor:
    """torch's own gradient of a convolution: which = 0 of its input, 1 of its weight."""
    mask = [which == 0, which == 1, False]
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient, maps, weight, None, [2, 2], [1, 1], [1, 1], False, [0, 0], groups, mask
    )[which]
    return found


def grouped(large: Tensor, small: Tensor, weight: Tensor) -> dict[str, Way]:
    """large (B, M*C, H, W), small (B, M*O, H/2, W/2), weight (M, O, C, 4, 4)."""
    groups, flat = len(weight), weight.flatten(0, 1)
    if large.is_contiguous(memory_format=torch.channels_last):
        flat = flat.contiguous(memory_format=torch.channels_last)
    return {
        "forward": lambda: F.conv2d(large, flat, None, 2, 1, groups=groups),
        "input gradient": lambda: gradient(large, small, flat, groups, 0),
        "weight gradient": lambda: gradient(large, small, flat, groups, 1),
    }


def patches(large: Tensor, small: Tensor, weight: Tensor) -> dict[str, Way]:
    """The same by (M, B*h*w, 16*C) patches."""
    members, n_small = weight.shape[:2]
    batch, _, height, width = small.shape
    kernel = weight.flatten(2)  # (M, O, C*16)

    def unfolded() -> Tensor:
        columns = F.unfold(large, 4, padding=1, stride=2)  # (B, M*C*16, h*w)
        return columns.unflatten(1, (members, -1)).permute(1, 0, 3, 2).flatten(1, 2)

    def rows() -> Tensor:
        return small.unflatten(1, (members, n_small)).permute(1, 0, 3, 4, 2).flatten(1, 3)

    def folded() -> Tensor:
        columns = torch.bmm(rows(), kernel).unflatten(1, (batch, height * width))
        return F.fold(columns.permute(1, 0, 3, 2).flatten(1, 2), 2 * height, 4, padding=1, stride=2)

    return {
        "forward": lambda: torch.bmm(unfolded(), kernel.transpose(1, 2)),
        "input gradient": folded,
        "weight gradient": lambda: torch.bmm(rows().transpose(1, 2), unfolded()),
    }


def by_member(large: Tensor, small: Tensor, weight: Tensor) -> list[dict[str, Way]]:
    """A way for each member."""
    members = len(weight)
    return [
        grouped(last(x), last(y), w[None])
        for x, y, w in zip(large.chunk(members, 1), small.chunk(members, 1), weight, strict=True)
    ]


def ours(large: Tensor, small: Tensor, weight: Tensor) -> dict[str, Way]:
    """Forward without a graph of autograd; the gradients as autograd calls them."""
    return {
        "forward": lambda: convolution._halve(large, weight),
        "input gradient": lambda: convolution._double(small, weight),
        "weight gradient": lambda: convolution._weight_gradient(large, small, weight),
    }


def captured(way: Way) -> Way:
    """As one CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        way(), way()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        way()
    return graph.replay


def at_once(ways: list[Way]) -> Way:
    """Each member's graph on a stream of its own."""
    graphs = [(captured(way), torch.cuda.Stream()) for way in ways]

    def launch() -> None:
        for replay, stream in graphs:
            with torch.cuda.stream(stream):
                replay()

    return launch


def contestants(operation: str, large: Tensor, small: Tensor, weight: Tensor) -> dict[str, Way]:
    single = [ways[operation] for ways in by_member(large, small, weight)]
    found: dict[str, Way] = {
        "grouped": grouped(large, small, weight)[operation],
        "channels-last": grouped(last(large), last(small), weight)[operation],
        "patches": patches(large, small, weight)[operation],
        "by member": lambda: [way() for way in single],
        "ours": ours(last(large), last(small), kernel_last(weight))[operation],
    }
    if large.device.type != "cuda":
        return found
    return {name: captured(way) for name, way in found.items()} | {"graphs": at_once(single)}


def measure(ways: dict[str, Way], members: int, device: torch.device) -> dict[str, float]:
    """Milliseconds a member, by way."""
    turns = {name: max(1, round(TURN_SECONDS / timed(way, 2, device) * 2)) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            seconds[name].append(timed(way, turns[name], device) / turns[name])
    return {name: 1e3 * statistics.median(found) / members for name, found in seconds.items()}


def main() -> None:
    p = argparse.ArgumentParser(prog="python -m tests.benchmarks.members", description=__doc__.split("\n")[0])
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    p.add_argument("--members", nargs="+", type=whole_at_least(1), help="default: 1 4 16, and 64 on a GPU")
    p.add_argument("--precision", choices=("fp32", "bf16"), nargs="+", default=["bf16", "fp32"])
    p.add_argument("--json", type=Path)
    options = p.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        p.error("torch finds no CUDA device here")
    keep_freed_memory()
    device = torch.device(options.device)
    cuda = device.type == "cuda"
    hardware = torch.cuda.get_device_name(device) if cuda else detect().cpu_name
    names = ["grouped", "channels-last", "patches", "by member", "ours", *(["graphs"] if cuda else [])]
    print(
        f"{hardware}, {torch.get_num_threads()} threads, torch {torch.__version__}; "
        f"ms a member, batch {BATCH}"
    )
    print(f"| precision | large map -> small | M | operation | {' | '.join(names)} |")
    print("|---" * (4 + len(names)) + "|")
    rows: list[dict[str, Any]] = []
    for precision in options.precision:
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        for n_large, side, n_small in SHAPES:
            for m in options.members or [1, 4, 16, *([64] if cuda else [])]:
                large = torch.randn(BATCH, m * n_large, side, side, device=device).to(dtype)
                small = torch.randn(BATCH, m * n_small, side // 2, side // 2, device=device).to(dtype)
                weight = torch.randn(m, n_small, n_large, 4, 4, device=device).to(dtype)
                for operation in OPERATIONS:
                    found = measure(contestants(operation, large, small, weight), m, device)
                    best = min(found.values())
                    cells = [f"**{v:.3g}**" if v == best else f"{v:.3g}" for v in map(found.get, names)]
                    maps = f"{n_large}x{side}x{side} -> {n_small}"
                    print(f"| {precision} | {maps} | {m} | {operation} | {' | '.join(cells)} |", flush=True)
                    rows.append(
                        {"precision": precision, "maps": maps, "members": m, "operation": operation, **found}
                    )
    if options.json:
        about = {"hardware": hardware, "torch": torch.__version__, "rows": rows}
        options.json.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Training throughput: ours and a textbook loop, in turns, in one process.

python -m tests.benchmarks.training [--device cpu|cuda] [--json FILE]

Each round runs every contestant once: the textbook loop (one GAN) and our packs of M members. A ratio is
ours to the textbook's member generator-iterations a second within one round; the table has the median,
minimum and maximum over rounds. Where an iteration takes over eight seconds, the first is the only one: it
counts as one round and is marked as cold. The run ends within eight minutes: what would take longer than
is left for its workload and model is run for fewer rounds, or left out and said so.

Floating-point operations, counted on paper (a multiplication and an addition are two). Let D and G be those
of one sample's forward pass through critic and generator; a backward pass costs as much again for the
inputs and once more for the weights.

    MLP, width W      D = 2 (2 W + 2 W^2 + W)             G = 2 (latent W + 2 W^2 + 2 W)
    DCGAN             D = convolutions + 2 * 16 top       G = convolutions + 2 * 16 top * latent
                      convolutions: for each level 2 * 16 * channels in * channels out * side^2,
                      side being that of the smaller map; top: channels of the 4x4 map

    a critic update   G (fakes) + 6 D (real and fake, forward and backward)
                      + 4 D for the gradient penalty: forward, input gradient, and the derivative of the
                      latter by its two factors. The way back through the forward pass is exactly zero, as
                      ReLU and LeakyReLU are piecewise linear: the textbook loop computes it, too.
    a generator one   3 G (forward, backward) + 2 D (forward, backward to the image)

Per member and iteration: batch * (n_critic * critic update + generator update). The limit is the best rate
of a square matrix product measured in the same run, in the precision that the contestant computes in.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from study.command import whole_at_least
from study.config import TrialConfig
from study.machine.hardware import detect
from study.machine.memory import PeakMemory, keep_freed_memory
from study.machine.precision import PRECISIONS, resolve
from study.models import MODELS
from study.training.capture import WARM_UP, iterations_of
from study.training.pack import Pack
from tests.benchmarks.textbook import Textbook

TURN_SECONDS = 0.25  # iterations of one turn are repeated for at least so long
GROUP_SECONDS = 8.0  # rounds of one workload and model go on for so long
ROUNDS = 3  # but there are at least so many, if there is time
ONCE_SECONDS = 8.0
RUN_SECONDS = 450.0  # of all workloads and models: what one leaves is divided among those that follow
PRODUCT_SECONDS = 0.3  # a matrix product is repeated for so long


@dataclass(frozen=True)
class Workload:
    """A data shape and the networks that go with it."""

    name: str
    sample_shape: tuple[int, ...]
    width: int
    batch_size: int
    latent_dim: int

    def flops(self, model: str) -> float:
        """Of one generator iteration of one member, as the module's docstring counts them."""
        if len(self.sample_shape) == 1:
            n, w = self.sample_shape[0], self.width
            critic = 2 * (n * w + 2 * w * w + w)
            generator = 2 * (self.latent_dim * w + 2 * w * w + w * n)
        else:
            channels, side, _ = self.sample_shape
            convolutions, n_in, n_out = 0, channels, self.width
            while side > 4:
                side //= 2
                convolutions += 2 * 16 * n_in * n_out * side * side
                n_in, n_out = n_out, 2 * n_out
            critic = convolutions + 2 * 16 * n_in
            generator = convolutions + 2 * 16 * n_in * self.latent_dim
        update = generator + 6 * critic + (4 * critic if model == "wgan_gp" else 0)
        return self.batch_size * (n_critic_of(model) * update + 3 * generator + 2 * critic)


WORKLOADS = (
    Workload("points 3x128", (2,), 128, 256, 2),
    Workload("points 3x512", (2,), 512, 256, 2),
    Workload("DCGAN 16x16", (1, 16, 16), 32, 64, 100),
    Workload("DCGAN 32x32", (3, 32, 32), 64, 64, 100),
    Workload("DCGAN 64x64", (3, 64, 64), 64, 64, 100),
)


@dataclass
class Contestant:
    """Something that iterates.

    Attributes:
        rates: member iterations a second, one per round.
        turn: iterations per round; 0 for one that is too slow to be run again.
    """

    name: str
    members: int
    iterate: Callable[[], None]
    rates: list[float]
    peak_bytes: int
    turn: int


def n_critic_of(model: str) -> int:
    return 1 if model == "dcgan" else 5


def ours(workload: Workload, model: str, members: int, data: Tensor, precision: str) -> Callable[[], None]:
    points = len(workload.sample_shape) == 1
    config = TrialConfig(
        model=model,
        dataset="ring8" if points else "digits",  # names an architecture here, not the data
        width=workload.width,
        batch_size=workload.batch_size,
        latent_dim=workload.latent_dim,
        n_critic=n_critic_of(model),
        optimizer="adam",
    )
    pack = Pack([config] * members, range(members), 0, workload.sample_shape, data.device, precision)
    return iterations_of(pack, data)


def textbook(workload: Workload, model: str, data: Tensor) -> Callable[[], None]:
    loop = Textbook(model, workload.sample_shape, workload.width, workload.latent_dim).to(data.device)
    return lambda: loop.iteration(data, workload.batch_size)


def timed(iterate: Callable[[], object], times: int, device: torch.device) -> float:
    """Seconds for `times` iterations."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(times):
        iterate()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def gemm_peak(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of the fastest square matrix product."""
    best = 0.0
    for n in (512, 1024, 2048, *((4096, 8192) if device.type == "cuda" else ())):
        product = partial(torch.mm, *(torch.randn(n, n, device=device).to(dtype) for _ in range(2)))
        timed(product, 1, device)
        once = timed(product, 1, device)
        times = max(1, int(PRODUCT_SECONDS / once))
        seconds = min(timed(product, times, device) / times for _ in range(3))
        best = max(best, 2 * n**3 / seconds)
        if 8 * once > 3 * PRODUCT_SECONDS:  # the next one, where the type is emulated
            break
    return best


def measure(
    workload: Workload, model: str, members: list[int], device: torch.device, precision: str, seconds: float
) -> tuple[list[Contestant], dict[str, float]]:
    """The textbook loop first, then ours by number of members, in about `seconds`.

    Also the seconds that one iteration would take of each that is left out.
    """
    start_time = time.perf_counter()
    stream = torch.Generator().manual_seed(0)
    data = (torch.rand(2048, *workload.sample_shape, generator=stream) * 2 - 1).to(device)
    starts: dict[str, tuple[int, Callable[[], Callable[[], None]]]] = {
        "textbook": (1, lambda: textbook(workload, model, data))
    }
    for m in members:
        starts[f"M={m}"] = (m, lambda m=m: ours(workload, model, m, data, precision))  # type: ignore[misc]
    contestants = []
    left_out = {}
    member_seconds = 0.0
    for name, (m, start) in starts.items():
        expected = m * member_seconds
        if time.perf_counter() - start_time + expected > seconds:
            left_out[name] = expected
            continue
        with PeakMemory(device) as peak:
            iterate = start()
            first = timed(iterate, 1, device)
            if first < ONCE_SECONDS:
                if device.type == "cuda":
                    timed(iterate, WARM_UP, device)  # then the graph is captured
                second = timed(iterate, 1, device)
        member_seconds = first / m
        if first < ONCE_SECONDS:
            turn = max(1, round(TURN_SECONDS / second))
            contestants.append(Contestant(name, m, iterate, [], peak.bytes, turn))
        else:
            contestants.append(Contestant(name, m, iterate, [m / first], peak.bytes, 0))
    rounds_began = time.perf_counter()
    rounds = 0
    while rounds < ROUNDS or time.perf_counter() - rounds_began < GROUP_SECONDS:
        round_began = time.perf_counter()
        for c in contestants:
            if c.turn:
                c.rates.append(c.members * c.turn / timed(c.iterate, c.turn, device))
        rounds += 1
        now = time.perf_counter()
        if now + (now - round_began) > start_time + seconds:
            break
    return contestants, left_out


def rows_of(
    workload: Workload, model: str, contestants: list[Contestant], limits: dict[str, float], precision: str
) -> Iterator[dict[str, Any]]:
    reference = contestants[0]
    flops = workload.flops(model)
    for c in contestants:
        ratios = [a / b for a, b in zip(c.rates, reference.rates, strict=False)]
        used = "fp32" if c is reference else precision
        rate = statistics.median(c.rates)
        yield {
            "workload": workload.name,
            "model": model,
            "contestant": c.name,
            "members": c.members,
            "precision": used,
            "member_iterations_per_second": rate,
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
            "rounds": len(c.rates),
            "cold": c.turn == 0,
            "peak_mib": c.peak_bytes / 2**20,
            "share_of_limit": rate * flops / limits[used],
            "gflops_per_iteration": flops / 1e9,
        }


def main() -> None:
    began = time.perf_counter()
    p = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.training", description=__doc__.split("\n")[0]
    )
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    p.add_argument("--precision", choices=PRECISIONS, default="auto", help="of ours; the textbook's is fp32")
    p.add_argument("--threads", type=int, help="CPU threads of both (default: torch's choice)")
    names = [w.name for w in WORKLOADS]
    p.add_argument("--workload", nargs="+", choices=names, default=names, help="by name")
    p.add_argument("--model", nargs="+", choices=MODELS, default=["wgan_gp", "wgan_cp", "dcgan"])
    p.add_argument("--members", nargs="+", type=whole_at_least(1), help="default: 1 4 16, and 64 on a GPU")
    p.add_argument("--json", type=Path)
    options = p.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        p.error("torch finds no CUDA device here")
    keep_freed_memory()
    device = torch.device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    members = options.members or [1, 4, 16, *([64] if device.type == "cuda" else [])]
    hardware = detect()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else hardware.cpu_name
    groups = []
    for workload in (w for w in WORKLOADS if w.name in options.workload):
        kind = "points" if len(workload.sample_shape) == 1 else "images"
        for model in options.model:
            allowed = kind in MODELS[model].bf16_kinds
            precision = resolve(options.precision, allowed, hardware.bf16(device.type == "cuda"))
            groups.append((workload, model, precision))
    limits = {
        used: gemm_peak(torch.bfloat16 if used == "bf16" else torch.float32, device)
        for used in sorted({"fp32", *(precision for *_, precision in groups)}, reverse=True)
    }
    instruction_set = torch.backends.cpu.get_cpu_capability()
    print(
        f"{name}, CPU instructions {instruction_set}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}; matrix product: "
        + ", ".join(f"{k} {v / 1e9:.0f} GFLOP/s" for k, v in limits.items())
    )
    print(
        "| workload | model | contestant | precision | member it/s "
        "| ratio (min..max) | rounds | peak MiB | of limit |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    rows, left_out = [], []
    for at, (workload, model, precision) in enumerate(groups):
        seconds = (began + RUN_SECONDS - time.perf_counter()) / (len(groups) - at)
        found, too_long = measure(workload, model, members, device, precision, seconds)
        for row in rows_of(workload, model, found, limits, precision):
            rows.append(row)
            cold = " (cold)" if row["cold"] else ""
            print(
                f"| {row['workload']} | {row['model']} | {row['contestant']} | {row['precision']} "
                f"| {row['member_iterations_per_second']:.4g} "
                f"| {row['ratio']:.2f} ({row['ratio_min']:.2f}..{row['ratio_max']:.2f}) "
                f"| {row['rounds']}{cold} | {row['peak_mib']:.0f} | {row['share_of_limit']:.0%} |",
                flush=True,
            )
        for contestant, expected in too_long.items():
            about = {"workload": workload.name, "model": model, "contestant": contestant}
            left_out.append({**about, "seconds_an_iteration": expected})
            print(
                f"| {workload.name} | {model} | {contestant} | {precision} "
                f"| left out: {expected:.0f} s an iteration | | | | |",
                flush=True,
            )
    if options.json:
        run = {
            "hardware": name,
            "instruction_set": instruction_set,
            "device": device.type,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "limits_flops_per_second": limits,
            "rows": rows,
            "left_out": left_out,
        }
        options.json.write_text(json.dumps(run, indent=1) + "\n")


if __name__ == "__main__":
    main()

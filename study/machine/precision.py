"""In which numbers networks compute: float32, or bfloat16 with everything that adds up kept in float32.

In bf16 matrix products and maps are bfloat16; parameters, optimiser states, batch-norm parameters, losses,
penalty norms, and the layers next to points and scores stay float32.
"""

PRECISIONS = ("auto", "fp32", "bf16")  # the first stands for one of the others

# Models and kinds of data where bf16 made no difference to final metrics that 8 seeds in pairs, on a CPU,
# could show: python -m tests.benchmarks.precision, figures in tests/benchmarks/README.md. With weight
# clipping on images fd was 4% worse (32 seeds), so that stays in fp32.
HARMLESS = {
    ("dcgan", "points"),
    ("wgan_cp", "points"),
    ("wgan_gp", "points"),
    ("dcgan", "images"),
    ("wgan_gp", "images"),
}


def resolve(asked: str, model: str, kind: str, bf16_is_fast: bool) -> str:
    """'auto' -> 'bf16' where the hardware computes it natively and it was shown harmless, else 'fp32'."""
    if asked != "auto":
        return asked
    return "bf16" if bf16_is_fast and (model, kind) in HARMLESS else "fp32"

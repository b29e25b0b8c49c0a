"""In which numbers networks compute: float32, or bfloat16 with everything that adds up kept in float32.

In bf16 matrix products and maps are bfloat16; parameters, optimiser states, batch-norm parameters, losses,
penalty norms, and the layers next to points and scores stay float32. Samples to be judged are drawn in
float32, so that metrics are of the parameters and not of a rounding. What has instructions for it is in
hardware.py, where it was shown harmless in each model's declaration.
"""

PRECISIONS = ("auto", "fp32", "bf16")  # the first stands for one of the others


def resolve(asked: str, harmless: bool, fast: bool) -> str:
    """'auto' -> 'bf16' where the hardware computes it natively and it was shown harmless, else 'fp32'."""
    if asked != "auto":
        return asked
    return "bf16" if fast and harmless else "fp32"

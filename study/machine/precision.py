"""In which numbers networks compute: float32, or bfloat16 with everything that adds up kept in float32.

In bf16 matrix products and maps are bfloat16; parameters, optimiser states, batch-norm parameters, losses,
penalty norms, and the layers next to points and scores stay float32. Samples to be judged are drawn in
float32, so that metrics are of the parameters and not of a rounding. What has instructions for it is in
hardware.py; where `auto` may take it, in each model's declaration: where no difference was found that eight
pairs of seeds could have found (12 to 35% of w1 on ring8, 9 to 10% of fd on digits), which does not show that
there is none.
"""

PRECISIONS = ("auto", "fp32", "bf16")  # the first stands for one of the others


def resolve(asked: str, allowed: bool, fast: bool) -> str:
    """'auto' -> 'bf16' where the hardware computes it natively and the model's declaration allows it."""
    if asked != "auto":
        return asked
    return "bf16" if fast and allowed else "fp32"

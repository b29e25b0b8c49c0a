"""Multilayer perceptrons for points: three hidden layers of ReLU, as in the papers' toy experiments."""

from torch import nn

from study.networks.layers import MemberLinear


def mlp(members: int, n_in: int, n_out: int, width: int) -> nn.Sequential:
    """(M, B, n_in) -> (M, B, n_out)."""
    return nn.Sequential(
        MemberLinear(members, n_in, width),
        nn.ReLU(),
        MemberLinear(members, width, width),
        nn.ReLU(),
        MemberLinear(members, width, width),
        nn.ReLU(),
        MemberLinear(members, width, n_out),
    )

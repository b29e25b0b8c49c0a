"""Generators and critics of M members each, chosen by the kind of data."""

from study.networks.build import build_critic, build_generator
from study.networks.initial import initialise
from study.networks.parts import MEMBER_DIM

__all__ = ["MEMBER_DIM", "build_critic", "build_generator", "initialise"]

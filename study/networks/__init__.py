"""Generators and critics of M members each, chosen by the kind of data."""

from study.networks.build import build_critic, build_generator, initialise

__all__ = ["build_critic", "build_generator", "initialise"]

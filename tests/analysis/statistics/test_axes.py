"""Axes are in order, whatever order a space's file has."""

import pandas as pd

from analysis.statistics.axes import binned, bins, ordered, unit_scaled
from study.space import Choice, parse_space

SPACE = parse_space(
    "mixed",
    {
        "method": "random",
        "parameters": {
            "model": {"value": "wgan_gp"},
            "batch_size": {"values": [256, 32, 64]},
            "n_critic": {"min": 1, "max": 5},
            "init": {"values": ["torch", "he"]},
            "latent_dim": {"min": 2, "max": 100},
        },
    },
)


def test_numbers_are_ordered_by_size_and_words_stay_as_listed() -> None:
    searched = ordered(SPACE).searched
    assert searched["batch_size"] == Choice((32, 64, 256))
    assert searched["init"] == Choice(("torch", "he"))


def test_whole_numbers_are_told_one_by_one_where_they_are_few() -> None:
    space = ordered(SPACE)
    assert [part.label for part in bins(space.searched["n_critic"])] == ["1", "2", "3", "4", "5"]
    assert len(bins(space.searched["latent_dim"])) == 4
    trials = pd.DataFrame({"batch_size": [64], "n_critic": [2], "init": ["he"], "latent_dim": [51]})
    assert binned(space, "n_critic", trials).tolist() == [1]
    assert unit_scaled(space, trials).iloc[0].tolist() == [0.5, 0.25, 1.0, 0.5]

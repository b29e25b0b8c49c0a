"""The sections of a report: which charts each has, from statistics to figure and caption (parts.py)."""

NAMES = ("stability", "coverage", "hyperparameters", "comparison", "budget")  # in the order of the page

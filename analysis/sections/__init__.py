"""The sections of a report: which charts each has, from statistics to figure and caption.

A section is a module with `charts(results)`, which yields those charts that the tables have something for.
"""

NAMES = ("stability", "coverage", "hyperparameters", "comparison", "budget")  # in the order of the page

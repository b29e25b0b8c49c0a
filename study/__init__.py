"""Tune GANs and measure how stable they are: search spaces in, results tables out."""

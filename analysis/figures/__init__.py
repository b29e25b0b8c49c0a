"""Figures of a study: tables in, matplotlib's Figure out."""

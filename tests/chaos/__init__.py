"""Whole studies whose processes are killed at random moments, until they have ended all the same."""

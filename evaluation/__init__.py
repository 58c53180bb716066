"""Runs the whole: quality and speed against public data sets."""

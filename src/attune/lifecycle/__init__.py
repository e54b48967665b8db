"""Whole jobs made of the rooms above."""

"""Bundles made ready to answer."""

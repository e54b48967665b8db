"""Texts from data: templates, n-grams and any other source of candidates, checked slot by slot."""

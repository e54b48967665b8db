"""Rows on their way in: sources, columns, splits, audit, redaction."""

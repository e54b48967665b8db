"""Sources, schema, splits, audit and redaction; no torch here."""

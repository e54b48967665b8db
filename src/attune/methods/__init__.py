"""Which parameters of a backbone move."""

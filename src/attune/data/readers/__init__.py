"""One reader a family of formats; each yields record batches or rows and appends bad rows to `problems`."""

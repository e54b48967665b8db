"""What a text that was written earns, as a program tells it."""

"""One file a head: how a task asks."""

"""The loop: optimisers, schedules, checkpoints, precision."""

"""Programs as answers: running candidates apart from everything else, and pass@k."""

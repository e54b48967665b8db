"""What is asked of the features, and how the answer is scored."""

"""What the loss of a stage is made of."""

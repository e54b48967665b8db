"""The joint of the axes, and the bundle that holds the result."""

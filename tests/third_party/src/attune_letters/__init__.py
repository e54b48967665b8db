"""A task and a method for attune, in a package of their own."""

"""What every room shares and nothing heavy: recipe, registry, records."""

"""A bundle made smaller, or written in another form."""

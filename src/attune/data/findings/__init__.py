"""What an audit looks for, one file a kind of check."""

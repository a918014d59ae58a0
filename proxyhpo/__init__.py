"""proxyhpo."""

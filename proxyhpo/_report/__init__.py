"""What came of a study: its result, its cost, and whether the proxy could be trusted."""

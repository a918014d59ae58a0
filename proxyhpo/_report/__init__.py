"""The results of a study: best config, cost, and whether the proxy can be trusted."""

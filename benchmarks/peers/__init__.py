"""A comparison with other libraries for hyperparameter optimization."""

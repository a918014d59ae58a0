"""A soak test: studies under many kinds of faults."""

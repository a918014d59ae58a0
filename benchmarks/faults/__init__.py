"""A soak test: studies under every kind of fault."""

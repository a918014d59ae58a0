"""What can be told of any network, and done to it: built, measured, rescaled, compared."""

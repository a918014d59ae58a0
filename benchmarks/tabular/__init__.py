"""Searches on tables of complete trainings that others have published."""

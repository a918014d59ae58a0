"""The plain data that all other packages use: rungs, records, and the history of a study."""

"""The plain data that everything else speaks: rungs, records, and the history of a study."""

"""The experiment of the paper, on 27 cells."""

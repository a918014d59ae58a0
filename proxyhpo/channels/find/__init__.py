"""Finding the channels of a network: one forward is watched, operator by operator.

The rule of each operator says which indices belong together.
"""

"""Finds the channels of a network by recording one forward pass, operator by operator.

A rule for each operator says which indices belong together.
"""

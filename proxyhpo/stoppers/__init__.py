"""Stoppers end trainings that are not worth going on with.

A stopper compares the losses of a training with those of its *peers*: the trainings at the same
rung that had ended, finished or stopped, **when this one was handed out**. Later ones do not
count. So a stopper needs no state, and whichever of several trainings reports first, a study that
runs in order, or is resumed, stops the same ones at the same steps. The first trainings of a rung
have no peers and are never stopped.

Famous rules are functions of these curves: successive halving asks for a rank at a few steps, the
median rule for the middle of the running means at every step. What a stopper must not do is to
prune networks; that is a pruner's work.
"""

from proxyhpo.stoppers._asha import ASHAStopper
from proxyhpo.stoppers._interface import Curve, Stopper
from proxyhpo.stoppers._lagging import LaggingStopper
from proxyhpo.stoppers._median import MedianStopper

__all__ = [
    "ASHAStopper",
    "Curve",
    "LaggingStopper",
    "MedianStopper",
    "Stopper",
]

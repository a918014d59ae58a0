"""Stoppers end trainings that are not worth finishing.

A stopper compares the losses of a training with those of its *peers*: the trainings at the same
rung that had ended (finished or stopped) **when this one was started**. Later ones are ignored. A
stopper therefore needs no state, and an ordered or resumed study stops the same trainings at the
same steps, whichever reports first. The first trainings of a rung have no peers and are never
stopped.

Known rules are functions of these curves: successive halving compares ranks at a few steps, and the
median rule compares with the median of the running means at every step. A stopper ends trainings;
a pruner prunes networks.
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

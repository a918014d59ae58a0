"""Finds the channels of any network, and builds networks with fewer of them.

Which indices of which dimensions of which parameters must be removed together? Every index of every
dimension of every tensor gets a label (:mod:`labels`). One forward pass is recorded, operator by
operator (:mod:`forward`, :mod:`recorder`, :mod:`trace`), and a rule for each operator says which
labels it joins (:mod:`rules`). Joined labels form a class, a channel. Classes that occur in the
same tensors form a group (:mod:`groups`), of which any share may be kept (:mod:`slicing`). Sizes
that Python objects remember are updated (:mod:`mending`), and the smaller network is compared with
the predicted one (:mod:`verify`, :mod:`repair`). All this is done once for each structure
(:mod:`plan`). Pruning a network then only scores and slices (:mod:`planner`).
"""

from proxyhpo.channels.cut.plan import Plan
from proxyhpo.channels.cut.planner import Shrunk, find_groups, remove, shrink
from proxyhpo.channels.cut.slicing import Score
from proxyhpo.channels.find.groups import Group

__all__ = ["Group", "Plan", "Score", "Shrunk", "find_groups", "remove", "shrink"]

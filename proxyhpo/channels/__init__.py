"""Finding the channels of any network, and making networks with fewer of them.

Which indices, of which dimensions, of which parameters must go together? Every index of every
dimension of every tensor gets a label (:mod:`labels`). One forward is watched, operator by
operator (:mod:`forward`, :mod:`recorder`, :mod:`trace`), and a small rule for each operator says
which labels it joins (:mod:`rules`). Labels that were joined form a class, a channel; classes that
the same tensors hold form a group (:mod:`groups`), of which any share may stay (:mod:`slicing`).
What Python remembers of sizes is put right (:mod:`mending`), and the smaller network is held
against what was foretold (:mod:`verify`, :mod:`repair`). All of that is done once for a structure
(:mod:`plan`); pruning a network is then scoring and slicing (:mod:`planner`).
"""

from proxyhpo.channels.cut.plan import Plan
from proxyhpo.channels.cut.planner import Shrunk, find_groups, remove, shrink
from proxyhpo.channels.cut.slicing import Score
from proxyhpo.channels.find.groups import Group

__all__ = ["Group", "Plan", "Score", "Shrunk", "find_groups", "remove", "shrink"]

"""What an operator's rule does to the labels of the tensors that it is given."""

import numpy as np
import torch
from torch import nn

from proxyhpo.channels.find.clock import Clock
from proxyhpo.channels.find.forward import forward
from proxyhpo.channels.find.labels import Labels
from proxyhpo.channels.find.recorder import Recorder


class Calling(nn.Module):
    """Applies a function to its own tensors and to an input."""

    def __init__(self, function, shapes):
        super().__init__()
        self.function = function
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(torch.rand(shape)))

    def forward(self, x):
        return self.function(x=x, **dict(self.named_parameters()))


class Seen:
    """What a function did to the labels of the tensors of these shapes; ``x`` is an input."""

    def __init__(self, function, *, x=(2, 3), training=True, settle=True, **shapes):
        network = Calling(function, shapes)
        self.labels = Labels()
        self.owned = {name: [self.labels.new(n) for n in shape] for name, shape in shapes.items()}
        self.recorder = Recorder(self.labels)
        data = torch.rand(x) if isinstance(x, tuple) else x
        self.recorder.start(dict(network.named_parameters()), self.owned, data)
        watch = self.recorder.observe
        self.out = forward(network, data, watch, Clock(30), meta=False, training=training)
        self.unsettled = {op.operator for op in self.recorder.operations}
        if settle:
            self.labels.settle()

    def dims(self, which=None):
        return self.recorder.dims(self.out if which is None else self.out[which])

    def same(self, one, other) -> bool:
        """Whether equal places of two dimensions are one class, and none is protected."""
        one, other = self.labels.find(one), self.labels.find(other)
        free = not self.labels.protected(np.concatenate([one, other])).any()
        return free and one.tolist() == other.tolist()

    def count(self, dim) -> int:
        """How many classes a dimension has that may go."""
        return len(set(self.labels.find(dim[~self.labels.protected(dim)]).tolist()))

    def fixed(self, dim) -> bool:
        return bool((dim == 0).all())

    def kept(self, dim) -> bool:
        return bool(self.labels.protected(dim).all())

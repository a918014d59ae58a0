"""Work for workers that start in half the time, because they need not import torch's compiler."""

import sys
from importlib import import_module
from types import ModuleType

import cloudpickle

from proxyhpo.testing._trainings import work

# Workers cannot import tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

COMPILER = "torch._dynamo"


class _Later(ModuleType):
    """Stands for torch's compiler until something needs it, as the first optimizer does."""

    def __getattr__(self, name):
        if sys.modules.get(COMPILER) is self:
            del sys.modules[COMPILER]
        return getattr(import_module(COMPILER), name)


class _Light:
    """A training function. A worker that loads it imports the compiler only when it is needed."""

    def __init__(self, train):
        self.train = train

    def __reduce__(self):
        return _loaded, (self.train,)

    def __call__(self, network, config):
        return self.train(network, config)


def _loaded(train):
    sys.modules.setdefault(COMPILER, _Later(COMPILER))
    return _Light(train)


def light(train):
    """The same training function, which must not create an optimizer.

    Every worker imports the compiler before its first training, which takes as long as the import
    of torch; ``test_shipping.py`` checks that. Here it would be imported for nothing.
    """
    return _Light(train)


def light_work(train):
    """What such trainings share."""
    return work(light(train))

"""What travels to where trainings run, and comes out as it was."""

import importlib.util
import linecache
import pickle
import sys
import traceback
import types

import cloudpickle
import pytest
import torch

from proxyhpo.errors import ArgumentError
from proxyhpo.executors._shipping import pack, unpack
from proxyhpo.testing._trainings import work


def travelled(function):
    """The function after a journey in which its own module is not imported but sent whole."""
    here = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(here)
    try:
        return pickle.loads(pack(function))
    finally:
        cloudpickle.unregister_pickle_by_value(here)


MODULES = [torch.backends.cudnn, torch.backends.cuda, torch.ops, torch.ops.aten, torch.classes]


@pytest.mark.parametrize("module", MODULES, ids=[module.__name__ for module in MODULES])
def test_modules_of_other_classes_travel_by_name(module):
    assert travelled(lambda: module)() is module


def test_a_traceback_shows_the_lines_of_a_cell_of_a_notebook(monkeypatch):
    name, source = "<cell 3>", ["def train():\n", "    raise ValueError('mine')\n"]
    entry = (60, None, source, name)
    monkeypatch.setitem(linecache.cache, name, entry)
    scope = {"__name__": "__main__"}
    exec(compile("".join(source), name, "exec"), scope)
    packed = pack(scope["train"])
    del linecache.cache[name]  # as in a worker
    with pytest.raises(ValueError, match="mine") as caught:
        pickle.loads(packed)()
    frame = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (frame.filename, frame.line) == (name, "raise ValueError('mine')")


def test_a_script_that_sets_up_cudnn_travels():
    def train(network, config):
        torch.backends.cudnn.benchmark = True
        yield float(torch.ops.aten.add(torch.ones(()), 1))

    before = torch.backends.cudnn.benchmark
    try:
        assert list(travelled(train)(None, {})) == [2.0]
    finally:
        torch.backends.cudnn.benchmark = before


def test_a_module_that_is_loaded_lazily_travels():
    name = "wave"  # of the standard library, and used by none of the tests
    spec = importlib.util.find_spec(name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    lazy = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = lazy
    spec.loader.exec_module(lazy)
    try:
        assert type(lazy) is not types.ModuleType
        assert travelled(lambda: lazy)() is lazy
    finally:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before


def test_a_module_that_no_name_leads_to_is_refused():
    class Own(types.ModuleType):
        """Is found by no name."""

        def __reduce__(self):
            raise TypeError("cannot pickle 'Own' object")

    own = Own("nowhere_to_be_found")
    with pytest.raises(ArgumentError, match="cannot be sent to other processes: cannot pickle"):
        pack(work(lambda network, config: own))


def test_a_worker_imports_the_compiler_before_the_time_limit_of_a_training_starts(monkeypatch):
    imported = []
    monkeypatch.setattr("proxyhpo._runs.work.import_module", imported.append)
    unpack(pack(work(unchanged)))
    assert imported == ["torch._dynamo"]


def unchanged(network, config):
    yield 1.0

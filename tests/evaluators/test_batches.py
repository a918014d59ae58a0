import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from proxyhpo.errors import ArgumentError
from proxyhpo.evaluators._batches import IndexBatches, batches, check_data, count

CPU = torch.device("cpu")


class Squares(Dataset):
    """Pairs (i, i²), as plain Python numbers would come from disk."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return {"number": torch.tensor(float(i))}, i * i


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(torch.zeros(1), 0)])


def generator(seed):
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 60), st.integers(1, 70), st.booleans(), st.booleans())
def test_a_pass_visits_each_example_once(n, size, shuffle, drop_single):
    indices = IndexBatches(n, size, generator(0) if shuffle else None, drop_single)
    visited = list(indices)
    flat = [i for batch in visited for i in batch]
    assert len(visited) == len(indices) >= 1
    assert len(set(flat)) == len(flat)
    assert all(len(batch) == min(n, size) for batch in visited[:-1])
    if drop_single and n % size == 1 and n > size > 1:
        assert len(flat) == n - 1
        assert len(visited[-1]) == size
    else:
        assert sorted(flat) == list(range(n))


@given(st.integers(2, 40), st.integers(2, 10))
def test_no_batch_of_one_is_left_for_batch_normalisation(n, size):
    assert all(len(batch) > 1 for batch in IndexBatches(n, size, drop_single=True))


def test_the_order_is_kept_without_a_generator():
    assert list(IndexBatches(5, 2)) == [[0, 1], [2, 3], [4]]


def test_each_pass_is_shuffled_anew_and_equal_seeds_give_equal_passes():
    one, two = (IndexBatches(100, 30, generator(1)) for _ in range(2))
    first, second = list(one), list(one)
    assert first != second
    assert [list(two), list(two)] == [first, second]
    assert list(IndexBatches(100, 30, generator(2))) != first


def test_tensors_and_data_sets_give_the_same_batches():
    x, y = torch.randn(23, 3), torch.arange(23)
    pairs = [(x[i], y[i]) for i in range(23)]

    class Pairs(Dataset):
        __len__ = pairs.__len__
        __getitem__ = staticmethod(pairs.__getitem__)

    for data in ((x, y), Pairs()):
        indices = IndexBatches(23, 5)
        got = list(batches(data, indices, CPU))
        assert [len(b[1]) for b in got] == [5, 5, 5, 5, 3]
        assert torch.equal(torch.cat([b[0] for b in got]), x)
        assert torch.equal(torch.cat([b[1] for b in got]), y)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_data_set_may_hold_mappings_and_be_loaded_by_workers(num_workers):
    loaded = batches(Squares(7), IndexBatches(7, 4, generator(3)), CPU, num_workers=num_workers)
    for _ in range(2):  # the workers serve every pass
        for inputs, targets in loaded:
            assert torch.equal(inputs["number"] ** 2, targets.float())


def test_the_global_random_state_is_not_changed():
    before = torch.get_rng_state()
    for data in (Squares(7), (torch.zeros(7), torch.zeros(7))):
        list(batches(data, IndexBatches(7, 4, generator(3)), CPU))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tensor_data_set_counts_as_its_tensors():
    x, y = torch.zeros(3, 2), torch.zeros(3)
    assert check_data("train_data", TensorDataset(x, y)) == (x, y)
    assert count(TensorDataset(x, y)) == count((x, y)) == 3


@pytest.mark.parametrize(
    "data, error, message",
    [
        (Stream(), TypeError, "train_data must be .*got Stream"),
        ([torch.zeros(2), torch.zeros(2)], TypeError, "got list of Tensor, Tensor"),
        ((torch.zeros(2),) * 3, TypeError, "got tuple of Tensor, Tensor, Tensor"),
        ((torch.zeros(2).numpy(), [0, 1]), TypeError, "got tuple of ndarray, list"),
        (None, TypeError, "got NoneType"),
        ((torch.zeros(2), torch.zeros(3)), ArgumentError, r"\(2,\) and targets of shape \(3,\)"),
        ((torch.tensor(1.0), torch.tensor(1.0)), ArgumentError, "same number of examples"),
        ((torch.zeros(0, 2), torch.zeros(0)), ArgumentError, "train_data contains no examples"),
        (Squares(0), ArgumentError, "train_data contains no examples"),
    ],
)
def test_other_data_is_refused_with_what_was_given(data, error, message):
    with pytest.raises(error, match=message):
        check_data("train_data", data)


def test_a_data_set_that_holds_no_pairs_is_refused():
    class Singles(Squares):
        def __getitem__(self, i):
            return torch.zeros(3)

    with pytest.raises(TypeError, match=r"pairs \(inputs, targets\), got a Tensor"):
        list(batches(Singles(4), IndexBatches(4, 2), CPU))

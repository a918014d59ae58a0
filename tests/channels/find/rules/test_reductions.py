import pytest
import torch

from tests.channels.find.rules.seen import Seen


@pytest.mark.parametrize(
    "function",
    [
        lambda x, a: a.sum(1),
        lambda x, a: a.mean(1, keepdim=True),
        lambda x, a: a.amax(1),
        lambda x, a: a.max(1).values,
        lambda x, a: torch.var_mean(a, 1)[0],
        lambda x, a: a.logsumexp(1),
        lambda x, a: torch.linalg.vector_norm(a, dim=1),
        lambda x, a: a.argmax(1),
    ],
)
def test_reductions_end_a_label(function):
    seen = Seen(function, a=(3, 4))
    assert seen.same(seen.dims()[0], seen.owned["a"][0])
    assert all(seen.fixed(dim) for dim in seen.dims()[1:])
    assert seen.count(seen.owned["a"][1]) == 4


@pytest.mark.parametrize(
    "places",
    [
        lambda a: a.argmax(1),
        lambda a: a.max(1).indices,
        lambda a: a.median(1).indices,
        lambda a: a.kthvalue(2, 1).indices,
    ],
)
def test_places_that_are_used_protect_what_they_count(places):
    seen = Seen(lambda x, a: (places(a) == 2) * 1.0, a=(3, 4))
    assert seen.labels.protected(seen.owned["a"][1]).all()
    assert "picks single indices" in seen.labels.reason(seen.owned["a"][1][0])

import random

import numpy as np
import pytest
import torch

from proxyhpo._seeding import preserved_random_state, seed_everything, seed_sequence


def draws():
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_equal_seeds_draw_equally_from_every_source():
    seed_everything(2**63)
    first = draws()
    seed_everything(2**63)
    assert draws() == first
    seed_everything(1)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_the_state_is_put_back_even_after_an_exception():
    seed_everything(4)
    expected = draws()
    seed_everything(4)
    with pytest.raises(ValueError, match="x"), preserved_random_state():
        seed_everything(5)
        draws()
        raise ValueError("x")
    assert draws() == expected


def test_purposes_and_numbers_are_distinguished():
    sequences = [
        seed_sequence("proposal", 0, 0),
        seed_sequence("proposal", 0, 1),
        seed_sequence("measuring", 0, 0),
        seed_sequence("training", 0, 0, 0, 0),
        *seed_sequence("training", 0, 0, 0, 0).spawn(2),
    ]
    states = {tuple(sequence.generate_state(4)) for sequence in sequences}
    assert len(states) == len(sequences)

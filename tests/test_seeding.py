import random
import threading

import numpy as np
import pytest
import torch

from proxyhpo import _seeding
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


def test_threads_take_turns():
    seed_everything(4)
    expected = [draws() for _ in range(3)]
    seed_everything(5)
    outside = draws()
    entered, found = threading.Event(), []

    def other():
        entered.wait(240)
        with preserved_random_state():
            seed_everything(4)
            found.extend(draws() for _ in range(3))

    thread = threading.Thread(target=other)
    seed_everything(5)
    thread.start()
    with preserved_random_state():
        entered.set()
        seed_everything(4)
        inside = [draws()]
        thread.join(0.05)  # time for it to go wrong
        with preserved_random_state():  # the same thread may enter again
            seed_everything(7)
        inside += [draws(), draws()]
    thread.join()
    assert inside == found == expected
    assert draws() == outside


def test_a_thread_that_waits_for_long_says_so(monkeypatch, caplog):
    monkeypatch.setattr(_seeding, "_PATIENCE_SECONDS", 0.01)
    with preserved_random_state():
        thread = threading.Thread(target=_enter_and_leave)
        thread.start()
        while not caplog.records:
            thread.join(0.01)
    thread.join()
    assert "waiting for another thread" in caplog.text


def _enter_and_leave():
    with preserved_random_state():
        pass


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

"""SIGKILL at random moments: what had been acknowledged is there, and the study goes on."""

import json

import torch

from proxyhpo._store import open_store, read_study, read_weights
from tests import scripts

ROUNDS = 8

# Forks the victims. Each acknowledges through a pipe.
SCRIPT = """
import json, os, random, signal, sys, time
import torch
from proxyhpo._store import open_store

def victim(path, pipe):
    store = open_store(path, {"seed": 0})
    number = sum(1 for _ in store.events())
    os.write(pipe, b"%d\\n" % (number - 1))
    while True:
        store.append("record", {"number": number, "reports": "x" * random.randrange(9000)})
        os.write(pipe, b"%d\\n" % number)
        if number % 5 == 0:
            store.save_weights("best", {"w": torch.full((10_000,), float(number))})
            os.write(pipe, b"w%d\\n" % number)
        number += 1

path, rounds = sys.argv[1], int(sys.argv[2])
for _ in range(rounds):
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        victim(path, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        first = pipe.readline()
        time.sleep(random.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        acknowledged = [first, *pipe]
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    numbers = [int(line) for line in acknowledged if not line.startswith(b"w")]
    weights = [int(line[1:]) for line in acknowledged if line.startswith(b"w")]
    print(json.dumps([numbers, weights]), flush=True)
    if _ % 2:  # with and without a look in between, which leaves its marks beside the file
        from proxyhpo._store import read_study
        read_study(path)
"""


def test_nothing_acknowledged_is_lost(tmp_path):
    path = tmp_path / "study.db"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with scripts.start(script, path, ROUNDS) as killing:
        rounds = [json.loads(line) for line in killing.stdout]
    assert killing.returncode == 0
    assert len(rounds) == ROUNDS
    last = -1
    for numbers, _ in rounds:
        # The first line says what the victim found: all that was acknowledged before it, and
        # at most the one event that was on its way.
        assert numbers[0] - last in {0, 1}
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        last = numbers[-1]
    identity, events = read_study(path)
    assert identity == {"seed": 0}
    assert [body["number"] for _, body in events] == list(range(len(events)))
    assert len(events) - 1 - last in {0, 1}
    assert len(events) > ROUNDS

    saved = max((number for _, weights in rounds for number in weights), default=None)
    with open_store(path, {"seed": 0}) as store:
        store.append("record", {"number": len(events)})
        if saved is not None:
            weights = read_weights(path, "best")["w"]
            assert weights.unique().numel() == 1  # of one saving, never of two
            assert weights[0] >= saved
            store.save_weights("best", {"w": torch.zeros(1)})
            folder = path.with_name("study.db-weights")
            assert [file.name for file in folder.iterdir()] == ["best.pt"]

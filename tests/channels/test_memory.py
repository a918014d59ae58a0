"""Large networks are planned without values, so that no second full copy of them is ever made."""

import subprocess
import sys
import textwrap

SCRIPT = """
    import resource
    import torch
    from torch import nn
    from proxyhpo.pruners import L1StructuredPruner

    def prune(width):
        network = nn.Sequential(
            nn.Linear(64, width), nn.ReLU(),
            nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, 10),
        )
        proxy = L1StructuredPruner().prune(
            network, torch.zeros(4, 64), density=0.25, generator=torch.Generator()
        )
        return sum(p.nbytes for p in network.parameters()), proxy

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    prune(64)  # what is loaded once
    big = nn.Linear(7_000, 7_000)  # the full network itself is in the peak before
    before, size = peak(), sum(p.nbytes for p in big.parameters())
    del big
    full, proxy = prune(7_000)
    assert full > 1.9e8 and proxy.network[2].in_features == 1744
    print((peak() - before) / full)
"""


def test_a_large_network_is_pruned_without_another_copy_of_it():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.9  # another copy, and the proxy, would be 1.06

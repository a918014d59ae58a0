"""Ray on several nodes. Skipped where Ray is absent."""

import sys
import time
from pathlib import Path

import cloudpickle
import pytest

from proxyhpo._runs import Died, Finished
from proxyhpo.executors import RayExecutor
from proxyhpo.testing._trainings import Heard, job, run
from tests.executors.light import light_work

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:ray.*")

# What the workers do is defined here, and they cannot import tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

PATIENCE = 240  # seconds; a busy machine may need many


def train(network, config):
    yield 1.0
    while config["file"] and not Path(config["file"]).exists():
        time.sleep(0.02)
    yield 2.0


@pytest.fixture
def cluster():
    """Two nodes with one CPU each."""
    from ray.cluster_utils import Cluster

    # Ray asks a node every three seconds whether it lives. A dead one is known after five answers.
    often = {"health_check_period_ms": 500}
    small = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 1024**2}
    cluster = Cluster(initialize_head=True, head_node_args={"_system_config": often, **small})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_node_that_leaves_costs_its_job(cluster, tmp_path):
    leaves = cluster.add_node(num_cpus=1, object_store_memory=80 * 1024**2)
    heard = Heard()
    executor = RayExecutor(address=cluster.address)
    executor.start(light_work(train), heard)
    assert executor.capacity == 2
    jobs = [job(file=tmp_path / "go"), job(file=tmp_path / "go")]
    for one in jobs:
        executor.submit(one)
    end = time.monotonic() + 2 * PATIENCE
    while len(heard.reports) < 2:  # both nodes train
        assert executor.wait_any(0.1) is None
        assert time.monotonic() < end
    cluster.remove_node(leaves, allow_graceful=False)
    died = executor.wait_any(PATIENCE)
    assert isinstance(died, Died)
    (tmp_path / "go").touch()
    other = executor.wait_any(PATIENCE)
    assert isinstance(other, Finished)
    assert {died.job.id, other.job.id} == {one.id for one in jobs}
    assert other.outcome.value == 2.0
    (after,) = run(executor, job())
    assert after.value == 2.0
    while executor.capacity > 1:  # the cluster notices it later than the job's owner
        assert time.monotonic() < end
        time.sleep(0.1)
    executor.shutdown()

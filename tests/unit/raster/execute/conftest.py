import pytest
from tests.engine.clusters import add_node, two_nodes

from landloom.raster.execute.ray import RayExecutor


@pytest.fixture(scope="session")
def ray_cluster():
    with two_nodes() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def ray_executor(ray_cluster):
    executor = RayExecutor(ray_cluster.address)
    yield executor
    executor.close()


@pytest.fixture
def spare_node(ray_cluster):
    """A third node, to be killed."""
    node = add_node(ray_cluster, 1)
    ray_cluster.wait_for_nodes()
    yield node.node_id
    ray_cluster.remove_node(node, allow_graceful=False)

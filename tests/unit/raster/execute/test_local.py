import pytest
from tests.contract.executor import ExecutorContract, InOneProcess

from landloom.raster.execute.local import LocalExecutor


class TestLocalExecutor(ExecutorContract, InOneProcess):
    @pytest.fixture
    def executor(self):
        executor = LocalExecutor(2)
        yield executor
        executor.close()

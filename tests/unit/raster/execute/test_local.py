import pytest

from landloom.raster.execute.local import LocalExecutor
from tests.contract.executor import ExecutorContract, InOneProcess


class TestLocalExecutor(ExecutorContract, InOneProcess):
    @pytest.fixture
    def executor(self):
        executor = LocalExecutor(2)
        yield executor
        executor.close()

"""What Spark reads before it starts: a run's settings and JARs, by environment alone.

`spark-defaults.conf` in SPARK_CONF_DIR counts for `spark-submit` and for a plain SparkSession. JARs
come by `extraClassPath`, behind Spark's own, because `spark.jars` is replaced by a user's `--jars`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from landloom.errors import InvalidInput


def spark_environment(
    folder: Path, *, configs: Mapping[str, str], jars: Sequence[Path], python: Path, executors: int
) -> dict[str, str]:
    """Write the defaults into `folder`; return the variables that name them.

    Args:
        folder: The run's own.
        configs: The run's `sparkConfigs`; they win.
        jars: For the class path of driver and executors.
        python: The run's interpreter, which may have pyspark.
        executors: How many the runtime stands for.

    Raises:
        InvalidInput: A setting would break the file.
    """
    if not configs and not jars:
        return {}
    values = {"spark.executor.instances": str(executors)} if executors else {}
    if jars:
        own = sorted(python.parents[1].glob("lib/python*/site-packages/pyspark/jars"))
        path = ":".join([*(f"{each}/*" for each in own), *map(str, jars)])
        values |= dict.fromkeys(
            ("spark.driver.extraClassPath", "spark.executor.extraClassPath"), path
        )
    values |= configs
    for name, value in values.items():
        if (
            not name.strip()
            or any(character in name + value for character in "\r\n\\")
            or (set(name) & set(" \t=:#"))
        ):
            raise InvalidInput(
                f"The Spark setting {name!r} cannot be written to spark-defaults.conf.",
                suggestion="Leave out backslashes and line ends.",
                field="environment.sparkConfigs",
            )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [f"{name} {value}\n" for name, value in values.items()]
    (folder / "spark-defaults.conf").write_text("".join(lines))
    return {"SPARK_CONF_DIR": str(folder), "PYSPARK_PYTHON": str(python)}

"""What Spark reads before it starts: a run's settings and JARs, by environment alone.

`spark-defaults.conf` in SPARK_CONF_DIR counts for `spark-submit` and for a plain SparkSession. JARs
come by `extraClassPath`, behind Spark's own, because `spark.jars` is replaced by a user's `--jars`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from landloom.errors import InvalidInput
from landloom.server.storage.admin import Credentials
from landloom.server.storage.places import Source

_S3A: Final = "spark.hadoop.fs.s3a.bucket"
_PROVIDERS: Final = {
    "none": "AnonymousAWSCredentialsProvider",
    "lasting": "SimpleAWSCredentialsProvider",
    "session": "TemporaryAWSCredentialsProvider",
}
"""Classes of hadoop-aws 3.4, by what there is to sign with."""


def check_setting(name: str, value: str) -> None:
    """Do nothing if a line of spark-defaults.conf can say this.

    Raises:
        ValueError: It would break the file, or be read back as something else.
    """
    if not name.strip() or set(name) & set(" \t=:#"):
        raise ValueError(
            "a setting's name has one character at least, and no space, '=', ':' or '#'"
        )
    if set(name + value) & set("\r\n\\"):
        raise ValueError("a setting has no line end and no backslash")


def spark_environment(
    folder: Path,
    *,
    configs: Mapping[str, str],
    jars: Sequence[Path],
    python: Path,
    executors: int,
    buckets: Sequence[Source] = (),
) -> dict[str, str]:
    """Write the defaults into `folder`; return the variables that name them.

    Args:
        folder: The run's own.
        configs: The run's `sparkConfigs`; they win.
        jars: For the class path of driver and executors.
        python: The run's interpreter, which may have pyspark.
        executors: How many the runtime stands for.
        buckets: Places in other stores, whose buckets get endpoints and keys of their own.

    Raises:
        InvalidInput: A setting would break the file.
    """
    if not configs and not jars and not buckets:
        return {}
    values = _of_buckets(buckets)
    values |= {"spark.executor.instances": str(executors)} if executors else {}
    if jars:
        own = sorted(python.parents[1].glob("lib/python*/site-packages/pyspark/jars"))
        path = ":".join([*(f"{each}/*" for each in own), *map(str, jars)])
        values |= dict.fromkeys(
            ("spark.driver.extraClassPath", "spark.executor.extraClassPath"), path
        )
    values |= configs
    for name, value in values.items():
        try:
            check_setting(name, value)
        except ValueError as problem:
            raise InvalidInput(
                f"The Spark setting {name!r} cannot be written to spark-defaults.conf: {problem}.",
                field="environment.sparkConfigs",
            ) from None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [f"{name} {value}\n" for name, value in values.items()]
    defaults = folder / "spark-defaults.conf"
    defaults.touch(mode=0o600)
    defaults.write_text("".join(lines))
    return {"SPARK_CONF_DIR": str(folder), "PYSPARK_PYTHON": str(python)}


def _of_buckets(sources: Sequence[Source]) -> dict[str, str]:
    """Return S3A's settings by bucket; of two places in one bucket it can know the first alone."""
    values: dict[str, str] = {}
    for source in reversed(sources):
        access, keys = source.access, source.access.credentials
        own = {
            "endpoint": access.endpoint_url,
            "endpoint.region": access.region,
            "path.style.access": str(access.addressing == "path").lower(),
            "connection.ssl.enabled": str(access.endpoint_url.startswith("https:")).lower(),
            "aws.credentials.provider": f"org.apache.hadoop.fs.s3a.{_PROVIDERS[_kind(keys)]}",
        }
        if keys is not None:
            own |= {"access.key": keys.access_key, "secret.key": keys.secret_key}
        if keys is not None and keys.session_token:
            own |= {"session.token": keys.session_token}
        values |= {f"{_S3A}.{source.bucket}.{name}": value for name, value in own.items()}
    return values


def _kind(keys: Credentials | None) -> str:
    if keys is None:
        return "none"
    return "session" if keys.session_token else "lasting"

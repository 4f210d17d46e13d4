"""How large the parts of a run's request may be, checked before it is stored.

The kernel starts no process with arguments beyond some size, and no store has longer keys than S3:
a run beyond that could only fail, after every listing had carried its request along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from landloom.errors import InvalidInput
from landloom.server.runs.schemas import CreateRunPayload, Dependency, FileDependency

LONGEST_ARGUMENT: Final = 128 * 1024 - 1
"""Bytes; execve(2) takes 32 pages, the NUL behind it included."""
ARGUMENTS: Final = 1024 * 1024
"""Bytes of all, with a NUL and a pointer each; execve(2) takes a quarter of the stack's limit,
2 MiB of the usual 8, and the environment is in them."""
LONGEST_KEY: Final = 1024
"""Bytes of an object's key, by the S3 API."""
LONGEST_PATH: Final = 4095
"""Bytes of a path on a node; PATH_MAX without its NUL."""
DEPENDENCIES: Final = 1000
SETTINGS: Final = 1000
SETTINGS_SIZE: Final = 256 * 1024
"""Characters of the names and values of all settings."""
LONGEST_NAME: Final = 1024
"""Characters of a class, or of a package's name or version."""

_BESIDES: Final = 9
"""Bytes of an argument's NUL and pointer."""
_FILE: Final = "Put it into a file in USER_S3_PATH, which the script reads."


def check_bounds(request: CreateRunPayload) -> None:
    """Do nothing if a run of this size can be started.

    Raises:
        InvalidInput: Something in it is larger than a process, a store or a runtime takes.
    """
    python, jar = request.run_python, request.run_jar
    if python is not None:
        _check_path(python.uri, "runPython.uri")
        _check_arguments(python.args, "runPython.args")
    if jar is not None:
        _check_path(jar.uri, "runJar.uri")
        _check_arguments(jar.args, "runJar.args")
        _check_name(jar.main_class, "runJar.mainClass")
    _check_settings(request.environment.spark_configs, "environment.sparkConfigs")
    _check_dependencies(request.environment.dependencies, "environment.dependencies")


def _check_arguments(args: Sequence[str], field: str) -> None:
    sizes = [len(each.encode()) for each in args]
    for number, size in enumerate(sizes):
        if size > LONGEST_ARGUMENT:
            raise InvalidInput(
                f"{field}.{number} has {size} bytes; an argument of a process has"
                f" {LONGEST_ARGUMENT} at most.",
                suggestion=_FILE,
                field=f"{field}.{number}",
            )
    if (size := sum(sizes) + _BESIDES * len(sizes)) > ARGUMENTS:
        raise InvalidInput(
            f"{field} takes {size} bytes; the arguments of a process take {ARGUMENTS} at most.",
            suggestion=_FILE,
            field=field,
        )


def _check_path(path: str, field: str) -> None:
    is_object = path.startswith("s3://")
    name = path.removeprefix("s3://").partition("/")[2] if is_object else path
    size, most = len(name.encode()), LONGEST_KEY if is_object else LONGEST_PATH
    if size > most:
        kind = "key" if is_object else "path"
        raise InvalidInput(
            f"{field}: the {kind} has {size} bytes; a {kind} has {most} at most.", field=field
        )


def _check_name(name: str | None, field: str) -> None:
    if name is not None and len(name) > LONGEST_NAME:
        raise InvalidInput(
            f"{field} has {len(name)} characters, and may have {LONGEST_NAME}.", field=field
        )


def _check_settings(settings: Mapping[str, str], field: str) -> None:
    size = sum(len(name) + len(value) for name, value in settings.items())
    if len(settings) > SETTINGS or size > SETTINGS_SIZE:
        raise InvalidInput(
            f"{field} has {len(settings)} settings of {size} characters, and may have {SETTINGS}"
            f" of {SETTINGS_SIZE}.",
            suggestion="Set the rest where the script makes its session.",
            field=field,
        )


def _check_dependencies(dependencies: Sequence[Dependency], field: str) -> None:
    if len(dependencies) > DEPENDENCIES:
        raise InvalidInput(
            f"{field} has {len(dependencies)} entries, and may have {DEPENDENCIES}.",
            suggestion="A wheel brings what it requires by itself; a zip holds many modules.",
            field=field,
        )
    for number, each in enumerate(dependencies):
        if isinstance(each, FileDependency):
            _check_path(each.file_path, f"{field}.{number}.filePath")
        else:
            _check_name(each.library_name, f"{field}.{number}.libraryName")
            _check_name(each.library_version, f"{field}.{number}.libraryVersion")

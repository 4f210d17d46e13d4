"""Start-up hook of a job's interpreter: adapt a module once it is imported, then step aside.

Python imports this by name from the one folder that the platform puts on a job's PYTHONPATH. A
script that imports none of them pays about a millisecond, so nothing is imported here that Python
has not loaded by itself. Another `sitecustomize` further down the path, which this one hides, is
run as if this one were not here.
"""

# ruff: noqa: INP001, PLC0415 - found by path, and imports are late on purpose

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing itself would be an import
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_ADAPTED = {"wkls": "places", "botocore.configprovider": "profiles"}
"""Modules, and which file beside this folder adapts each."""


class _Adapter:
    """A finder that lets others find a module and adds its adapter to the loading."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return None for every module but those, so that the usual finders go on."""
        if name not in _ADAPTED:
            return None
        spec = _find(name, path, target)
        if spec is not None and spec.loader is not None:
            _adapt_after(spec.loader, _ADAPTED[name])
        return spec


def _find(name: str, path: Any, target: Any = None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        if finder is not _Adapter:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
    return None


def _adapt_after(loader: Any, adapter: str) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        # Beside this folder, not by name: the job's interpreter may have no `landloom`.
        path = f"{_folder_of(_folder_of(__file__))}/{adapter}.py"
        _load(f"_landloom_{adapter}", path).adapt(module)

    loader.exec_module = exec_module


def _run_hidden() -> None:
    """Run the `sitecustomize` that Python would have imported without this one."""
    here = _folder_of(__file__)
    spec = _find(__name__, [entry for entry in sys.path if entry != here])
    if spec is not None and spec.origin is not None and spec.origin != __file__:
        _load(__name__, spec.origin)


def _load(name: str, path: str) -> Any:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded", name=name, path=path)
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


sys.meta_path.insert(0, _Adapter)
_run_hidden()

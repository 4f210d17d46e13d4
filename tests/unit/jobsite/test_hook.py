"""The start-up hook in interpreters of its own, as a job's is."""

import os
import subprocess
import sys
from pathlib import Path

from landloom import jobsite


def run(code, *path):
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": os.pathsep.join(map(str, [jobsite.hook_folder(), *path]))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.stdout, ended.stderr, ended.returncode


def test_a_script_without_wkls_loads_nothing_of_it():
    out, err, _ = run("import sys; print([m for m in sys.modules if 'wkls' in m or 'places' in m])")
    assert (out, err) == ("[]\n", "")


def test_the_folder_offers_no_other_module():
    assert {path.name for path in jobsite.hook_folder().iterdir()} - {"__pycache__"} == {
        "sitecustomize.py"
    }


def test_a_sitecustomize_that_it_hides_is_run(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.hidden = __file__")
    out, err, _ = run(
        "print(hidden); import sitecustomize; print(sitecustomize.__file__)", tmp_path
    )
    assert (out.split(), err) == ([str(tmp_path / "sitecustomize.py")] * 2, "")


def test_a_hidden_sitecustomize_that_fails_does_not_end_the_script(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("raise RuntimeError('theirs')")
    out, err, code = run("print('script')", tmp_path)
    assert (out, code) == ("script\n", 0)
    assert "theirs" in err


def test_a_job_without_wkls_gets_the_usual_error(tmp_path):
    out, _, _ = run(
        "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
        "try: import wkls\n"
        "except ModuleNotFoundError as problem: print(problem)",
        tmp_path,
    )
    assert out == "No module named 'wkls'\n"


def test_an_older_wkls_of_the_users_own_is_left_as_it_is(tmp_path):
    _fake(tmp_path, "1.1.0", "def __getattr__(name): raise AttributeError(name)")
    out, err, _ = run("import wkls; print(type(wkls).__name__)", tmp_path)
    assert (out, err) == ("module\n", "")


def test_a_newer_wkls_laid_out_otherwise_is_imported_with_a_warning(tmp_path):
    _fake(tmp_path, "9.0.0", "")
    out, err, code = run("import wkls; print('imported')", tmp_path)
    assert (out, code) == ("imported\n", 0)
    assert "wkls 9.0.0 is laid out differently" in err


def test_the_users_own_environment_is_never_touched():
    out, _, _ = run("import sys, pathlib; print(sys.prefix)")
    # A debugger brings one of its own, deep inside its package, which no interpreter looks at.
    assert not list(Path(out.strip()).glob("lib/python*/site-packages/sitecustomize.py"))


def _fake(folder, version, code):
    (folder / "wkls").mkdir()
    (folder / "wkls" / "__init__.py").write_text(f"__version__ = {version!r}\n{code}\n")

"""Overlays from wheels made here: uv itself, the real base environment, and no network."""

import asyncio
import io
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest

from landloom.runner.folder import read_runner
from landloom.server.launchers.dependencies import prepare_packages, requirements_of
from landloom.server.launchers.installer import DependencyProblem, distribution, sentence
from landloom.server.launchers.isolation import find_isolation
from landloom.server.launchers.seated import Seated
from landloom.server.settings import Settings

PYTHON = Path(sys.executable)


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in [name for name in os.environ if name.startswith("UV_")]:
        monkeypatch.delenv(name)
    index = tmp_path / "index"
    index.mkdir()
    # An index with nothing in it: no look-up leaves this machine.
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.as_uri())
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))

    def make(name, version, code="", requires=()):
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += "".join(f"Requires-Dist: {each}\n" for each in requires)
        files = {
            f"{name}/__init__.py": code,
            f"{info}/METADATA": metadata,
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
        made = wheels / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(made, "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)
        return made

    return make


@pytest.fixture
def prepare(tmp_path):
    async def prepare(*requirements, **options):
        return await prepare_packages(
            requirements, python=PYTHON, cache_dir=tmp_path / "cache", **options
        )

    return prepare


def pypi(name, version=None):
    return {"sourceType": "PYPI", "libraryName": name, "libraryVersion": version}


class TestRequirements:
    def test_a_bare_version_is_exactly_that_and_a_specifier_stays(self):
        wanted = [pypi("pandas", "1.5.3"), pypi("numpy", ">=1,<2"), pypi("attrs"), pypi("six", "")]
        assert requirements_of(wanted) == ("attrs", "numpy>=1,<2", "pandas==1.5.3", "six")

    def test_files_are_none(self):
        assert requirements_of([{"sourceType": "FILE", "filePath": "s3://b/x.whl"}]) == ()

    @pytest.mark.parametrize(
        ("requirement", "name"),
        [
            ("Land_loom.x[a,b]>=1", "land-loom-x"),
            ("/a/b-c/Land_Loom-1.0-py3-none-any.whl", "land-loom"),
            ("six ; python_version > '3'", "six"),
        ],
    )
    def test_the_name_of_a_distribution_is_spelled_as_the_index_does(self, requirement, name):
        assert distribution(requirement) == name

    @pytest.mark.parametrize(
        ("name", "version"),
        [
            ("-r/etc/passwd", None),
            ("a b", None),
            ("a @ file:///etc", None),
            ("a", "1; python_version > '3'"),
            ("a", "1\n-r x"),
        ],
    )
    def test_what_is_no_name_or_version_never_reaches_the_installer(self, name, version):
        with pytest.raises(DependencyProblem, match="is not a package"):
            requirements_of([pypi(name, version)])


class TestOverlay:
    async def test_none_wanted_needs_none(self, prepare):
        assert (await prepare()).folder is None

    async def test_is_importable_over_the_base(self, prepare, wheel):
        wheel("landloom_demo", "1.0", "import psutil\nwords = 'from the overlay'")
        overlay = await prepare("landloom-demo==1.0")
        assert any("landloom-demo==1.0" in line for line in overlay.lines)
        printed = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", "import landloom_demo; print(landloom_demo.words)"],
            env={"PYTHONPATH": str(overlay.folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert printed.stdout == "from the overlay\n"

    async def test_is_made_once_for_the_same_requirements(self, prepare, wheel):
        wheel("landloom_demo", "1.0")
        first = await prepare("landloom-demo")
        wheel("landloom_demo", "2.0")
        again = await prepare("landloom-demo")
        assert (again.folder, again.lines) == (first.folder, ())

    async def test_made_twice_at_a_time_is_published_once_and_leaves_no_rest(
        self, prepare, wheel, tmp_path
    ):
        wheel("landloom_demo", "1.0")
        one, two = await asyncio.gather(prepare("landloom-demo"), prepare("landloom-demo"))
        assert one.folder == two.folder
        assert list((tmp_path / "cache" / "overlays").iterdir()) == [one.folder]

    async def test_leaves_out_what_the_base_has(self, prepare, wheel):
        wheel("psutil", psutil.__version__)
        wheel("landloom_demo", "1.0", requires=["psutil>=1"])
        overlay = await prepare("landloom-demo")
        assert not (overlay.folder / "psutil").exists()
        assert (await prepare("psutil")).folder is None

    async def test_shares_no_file_with_the_installers_cache(self, prepare, wheel):
        wheel("landloom_demo", "1.0")
        overlay = await prepare("landloom-demo")
        assert (overlay.folder / "landloom_demo" / "__init__.py").stat().st_nlink == 1


class TestFiles:
    async def test_a_wheel_is_installed_with_what_it_needs(self, prepare, wheel, tmp_path):
        wheel("landloom_needed", "2.0")
        file = wheel("landloom_demo", "1.0", "import landloom_needed", ["landloom-needed"])
        brought = tmp_path / "brought" / file.name
        brought.parent.mkdir()
        file.rename(brought)
        packages = await prepare(str(brought))
        assert (packages.folder / "landloom_demo" / "__init__.py").exists()
        assert (packages.folder / "landloom_needed").exists()
        assert (await prepare(str(brought))).folder == packages.folder

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("landloom_demo-1.0-py3-none-any.whl", b"no wheel", "landloom_demo"),
            ("nameless.whl", b"", "nameless"),
            ("landloom_demo-1.0-cp27-cp27m-macosx_10_6_intel.whl", None, "landloom"),
        ],
    )
    async def test_a_bad_wheel_is_told_in_the_installers_words(
        self, prepare, wheel, tmp_path, name, content, said
    ):
        content = content if content is not None else wheel("landloom_demo", "1.0").read_bytes()
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(DependencyProblem, match="cannot be installed") as problem:
            await prepare(str(file))
        assert any(said in line for line in problem.value.lines)


class TestOwnEnvironment:
    async def test_what_the_base_cannot_bear_gets_an_environment_of_its_own(self, prepare, wheel):
        wheel("psutil", "0.1", "version = 'ancient'")
        packages = await prepare("psutil==0.1")
        assert packages.folder is None
        assert any("psutil==0.1" in line for line in packages.lines)
        assert "does not fit the job environment" in packages.lines[0]
        assert await said_by(packages.python, "import psutil; print(psutil.version)") == "ancient"
        again = await prepare("psutil==0.1")
        assert (again.python, again.lines) == (packages.python, ())

    async def test_it_can_import_the_client_and_says_what_it_lacks(self, prepare, wheel):
        wheel("psutil", "0.1")
        packages = await prepare("psutil==0.1")
        code = "import landloom.errors, importlib.metadata as m; print(m.version('landloom'))"
        assert await said_by(packages.python, code) == version("landloom")
        assert "geopandas" in packages.lines[-1]

    async def test_libraries_that_go_along_come_along(self, prepare, wheel):
        wheel("psutil", "0.1")
        for name in ("httpx", "obstore", "platformdirs", "pydantic", "rich", "typer"):
            wheel(name, "99.0", f"it = {name!r}")
        packages = await prepare("psutil==0.1")
        assert await said_by(packages.python, "import httpx; print(httpx.it)") == "httpx"
        assert "httpx" not in packages.lines[-1]

    async def test_packages_for_numpy_1_get_it(self, prepare, wheel):
        wheel("psutil", "0.1", "import numpy\nassert numpy.major == 1, 'numpy.dtype size changed'")
        wheel("numpy", "1.26.4", "major = 1")
        wheel("numpy", "2.9", "major = 2")
        wheel("landloom_old", "1.0", "import psutil", ["psutil==0.1", "numpy"])
        packages = await prepare("landloom-old")
        assert await said_by(packages.python, "import numpy; print(numpy.major)") == "1"

    async def test_one_that_cannot_be_imported_leaves_none_behind(self, prepare, wheel, tmp_path):
        wheel("psutil", "0.1", "raise RuntimeError('broken')")
        with pytest.raises(DependencyProblem, match="broken"):
            await prepare("psutil==0.1")
        assert list((tmp_path / "cache" / "environments").iterdir()) == []


async def said_by(python, code):
    ended = await asyncio.to_thread(
        subprocess.run, [str(python), "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


class TestProblems:
    async def test_a_version_that_does_not_exist_is_told_in_the_installers_words(
        self, prepare, wheel, tmp_path
    ):
        wheel("landloom_demo", "1.0")
        with pytest.raises(DependencyProblem) as problem:
            await prepare("landloom-demo==99.1")
        assert "landloom-demo==99.1 cannot be installed: Because" in problem.value.message
        assert any("there is no version" in line for line in problem.value.lines)
        assert list((tmp_path / "cache" / "overlays").iterdir()) == []

    async def test_a_package_that_cannot_be_imported_fails_before_the_script(self, prepare, wheel):
        wheel("landloom_demo", "1.0", "raise RuntimeError('built for another numpy')")
        with pytest.raises(DependencyProblem, match="built for another numpy"):
            await prepare("landloom-demo")

    async def test_package_code_meets_no_secret_of_the_server(self, prepare, wheel, monkeypatch):
        monkeypatch.setenv("LANDLOOM_ADMIN_SECRET_KEY", "x")
        wheel(
            "landloom_demo",
            "1.0",
            "import os\nassert 'LANDLOOM_ADMIN_SECRET_KEY' not in os.environ",
        )
        assert (await prepare("landloom-demo")).folder

    async def test_an_installer_that_hangs_is_told_of(self, prepare, wheel):
        wheel("landloom_demo", "1.0", "import time\ntime.sleep(600)")
        with pytest.raises(DependencyProblem, match=r"took longer than 0\.5 seconds"):
            await prepare("landloom-demo", timeout_seconds=0.5)

    async def test_an_installer_that_is_not_waited_for_is_ended(self, prepare, wheel, tmp_path):
        marker = tmp_path / "pid"
        code = (
            "import os, pathlib, time\n"
            f"marker = pathlib.Path({str(marker)!r})\n"
            "marker.with_suffix('.new').write_text(str(os.getpid()))\n"
            "marker.with_suffix('.new').rename(marker)\n"
            "time.sleep(600)\n"
        )
        wheel("landloom_demo", "1.0", code)
        making = asyncio.create_task(prepare("landloom-demo"))
        while not marker.exists():
            assert not making.done()
            await asyncio.sleep(0.02)
        # A limit of time does just this, whenever it strikes.
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        assert not psutil.pid_exists(int(marker.read_text()))


UID = 50_001
NOSY = """
import os
assert os.getuid() == {uid}, f"it runs as {{os.getuid()}}"
try:
    open({secret!r})
except OSError:
    pass
else:
    raise AssertionError("it reads what is the platform's")
"""


DEADLINE_SECONDS = 120
SERVER = """
import asyncio, sys
from pathlib import Path
from landloom.server.launchers.isolation import Isolation
from landloom.server.launchers.seated import Seated
data, uid = Path(sys.argv[1]), int(sys.argv[2])
(data / "workloads").mkdir()
trial = Seated(Isolation("user", data, uid - 1, uid), "ann", data / "workloads")
asyncio.run(trial(["/bin/sleep", "600"], {}, []))
"""


def _pid_of_trial(data):
    for directory in data.glob("workloads/.seated-*"):
        record = read_runner(directory)
        if record is not None:
            return record.child_pid
    return None


@pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root on Linux becomes other users"
)
class TestApart:
    @pytest.fixture
    def data(self, tmp_path):
        (tmp_path / "data").mkdir(mode=0o700)
        (tmp_path / "data" / "secret").write_text("secret")
        return tmp_path / "data"

    @pytest.fixture
    def prepare(self, data):
        settings = Settings(_env_file=None, data_dir=data, job_uids=f"{UID - 1}-{UID}")
        isolation = find_isolation(settings)
        if isinstance(isolation, str):
            pytest.skip(f"users cannot be kept apart here: {isolation}")

        async def prepare(*requirements):
            apart = Seated(isolation, "ann", settings.workloads_dir)
            try:
                return await prepare_packages(
                    requirements, python=PYTHON, cache_dir=data / "cache", apart=apart, build=False
                )
            finally:
                assert list(settings.workloads_dir.iterdir()) == []

        return prepare

    @pytest.fixture
    def nosy(self, data):
        """Code that fails where it is the server's, or can read what that may."""
        return NOSY.format(uid=UID, secret=str(data / "secret"))

    async def test_packages_are_imported_as_who_brought_them(self, prepare, wheel, nosy):
        wheel("landloom_demo", "1.0", nosy)
        assert (await prepare("landloom-demo")).folder

    async def test_those_of_an_environment_of_its_own_too(self, prepare, wheel, nosy):
        wheel("psutil", "0.1", nosy)
        packages = await prepare("psutil==0.1")
        assert packages.python

    async def test_what_cannot_be_imported_is_told(self, prepare, wheel):
        wheel("landloom_demo", "1.0", "raise RuntimeError('built for another numpy')")
        with pytest.raises(DependencyProblem, match="built for another numpy"):
            await prepare("landloom-demo")

    def test_a_trial_ends_with_a_server_that_is_killed(self, data):
        server = subprocess.Popen([sys.executable, "-c", SERVER, str(data), str(UID)])
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (pid := _pid_of_trial(data)):
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        trial = psutil.Process(pid)
        server.kill()
        server.wait()
        while trial.is_running() and trial.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    async def test_nothing_is_built(self, prepare, wheel, tmp_path):
        marker = tmp_path / "built"
        folder = wheel("landloom_other", "1.0").parent
        files = {
            "PKG-INFO": "Metadata-Version: 2.1\nName: landloom_source\nVersion: 1.0\n",
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "evil"\n'
            'backend-path = ["."]\n',
            "evil.py": f"open({str(marker)!r}, 'w').close()\nraise RuntimeError('it was built')\n",
        }
        with tarfile.open(folder / "landloom_source-1.0.tar.gz", "w:gz") as archive:
            for name, text in files.items():
                member = tarfile.TarInfo(f"landloom_source-1.0/{name}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        with pytest.raises(DependencyProblem, match="landloom-source") as problem:
            await prepare("landloom-source")
        assert "LANDLOOM_TRUST_USERS" in (problem.value.suggestion or "")
        assert not marker.exists()
        with pytest.raises(DependencyProblem, match="landloom-source"):
            await prepare_packages(["landloom-source"], python=PYTHON, cache_dir=tmp_path / "cache")
        assert marker.exists()


def test_the_drawing_around_a_reason_is_taken_off():
    lines = [
        "  \u00d7 No solution found when resolving dependencies:",
        "  \u2570\u2500\u25b6 Because there is no version of a==9 and you require a==9, we can",
        "      conclude that your requirements are unsatisfiable.",
    ]
    assert sentence(lines) == (
        "Because there is no version of a==9 and you require a==9, we can conclude that your "
        "requirements are unsatisfiable."
    )

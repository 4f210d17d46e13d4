"""Workloads of different users kept apart: each user's run as a user of the system of their own.

The number is the user's for good, noted down in the data folder. Where the system lets root make
mount namespaces, a workload also sees only its own folder, its user's home and what it needs to
read; elsewhere the modes of the platform's folders keep the others' from it. Whether either works
here is found out by running a workload that tries to reach what it must not.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import landloom
from landloom.errors import SetupProblem, Unavailable
from landloom.runner import folder
from landloom.runner.seat import PRIVATE, Seat, View
from landloom.runner.usage import USAGE
from landloom.server.launchers.copying import copy_as
from landloom.server.launchers.installer import quiet_environment
from landloom.server.settings import Settings

type Means = Literal["namespace", "user"]

HOMES: Final = "homes"
_USERS: Final = "job-users.json"
_PASSWD: Final = Path("/etc/passwd")
_TEMPORARY: Final = "tmp"
_NAME: Final = "job"
_COMPILED: Final = Path(".cache") / "numba"
_PROBE_SECONDS: Final = 60
_RUNNERS_OWN: Final = frozenset(
    {
        *(folder.SPEC, folder.RUNNER, folder.LOCK, folder.ERRORS, folder.CANCEL, folder.EXIT),
        *(folder.RESERVE, folder.LOG, folder.INDEX, USAGE),
    }
)
"""Files that a workload must neither read nor forge."""

_ASK: Final = """
import json, sys, landloom
print(json.dumps([sys.prefix, sys.base_prefix, sys.executable, *sys.path, *landloom.__path__]))
"""
_TRY: Final = """
import os, sys
import landloom.raster.settings
uid, *secrets = sys.argv[1:]
assert os.getuid() == os.geteuid() == os.getgid() == int(uid), "it is another user"
for path in secrets:
    for reach in (os.listdir, lambda path: open(path).close()):
        try:
            reach(path)
        except OSError:
            continue
        sys.exit(f"it reaches {path}")
open(os.path.join(os.environ["HOME"], "written"), "w").close()
"""


@dataclass(frozen=True, slots=True)
class Isolation:
    """How workloads of different users are kept apart on this machine."""

    means: Means
    data_dir: Path
    first_uid: int
    last_uid: int
    reads: tuple[Path, ...] = ()
    """What every workload needs to read: interpreter, packages, catalogue."""
    packages: tuple[Path, ...] = ()
    """Folders of the platform's own packages."""
    models: Path | None = None
    """Folder of the operator's models, to read."""

    def seat(self, owner: str, directory: Path, reads: Iterable[Path]) -> Seat:
        """Make a place for a workload of `owner`, whose folder is `directory`.

        What lies in the folder so far the user may read from now on, but for the runner's files.

        Args:
            owner: Id of the principal.
            directory: Holds what was prepared.
            reads: What this workload needs to read beside what all need.

        Raises:
            Unavailable: No number is left for the user.
        """
        return self.seat_of(self._uid(owner), owner, directory, reads)

    def seat_of(self, uid: int, owner: str, directory: Path, reads: Iterable[Path]) -> Seat:
        """Make a place for a workload of the operating-system user `uid`; see `seat`."""
        home = self.home(uid)
        if not home.exists():
            self._furnish(home, uid)
        _hand_over(directory, uid)
        for name in (folder.WORK, _TEMPORARY):
            _make_own(directory / name, uid)
        reads = tuple(reads)
        for each in reads:
            if each.is_relative_to(self.data_dir):
                # Whatever the umask was when it was made.
                each.chmod(0o755)
        if self.means == "user":
            for each in (directory, home, *reads):
                self._let_pass(each)
            return Seat(uid)
        users = directory / "passwd"
        line = f"{_NAME}:x:{uid}:{uid}:{owner}:{home}:/bin/sh\n"
        _write_public(users, _PASSWD.read_text().rstrip("\n") + "\n" + line)
        shown = _with_targets([*self.reads, *reads, *([self.models] if self.models else [])])
        view = View(
            emptied=tuple(map(str, _emptied(shown, self.data_dir))),
            shown=tuple(map(str, shown)),
            kept=(str(directory), str(home)),
            temporary=str(directory / _TEMPORARY),
            users=str(users),
        )
        return Seat(uid, view)

    def copy(self, owner: str, source: Path, target: Path) -> None:
        """Copy a file that `owner` may read as a user of this machine.

        Raises:
            OSError: They may not, or it is no file; see `copy_as`.
        """
        copy_as(self._uid(owner), source, target)

    def home(self, uid: int) -> Path:
        """Return the home of an operating-system user."""
        return self.data_dir / HOMES / str(uid)

    def _let_pass(self, path: Path) -> None:
        """Let everybody pass the platform's own folders on the way to a path, and list none."""
        for parent in path.parents:
            if parent.is_relative_to(self.data_dir):
                parent.chmod(0o711)

    def _furnish(self, home: Path, uid: int) -> None:
        """Make a home, with the compiled code that lies beside the packages that it is for.

        The user cannot write there, and compiling it takes half a minute. Numba looks for it in
        folders that are named by the source's (`numba.core.caching._CacheLocator`).
        """
        home.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=home.parent) as temporary:
            made = Path(temporary) / "home"
            for package in self.packages:
                for source in {each.parent.parent for each in package.rglob("__pycache__/*.nbi")}:
                    digest = hashlib.sha1(os.fsencode(source), usedforsecurity=False).hexdigest()
                    target = made / _COMPILED / f"{source.name}_{digest}"
                    shutil.copytree(
                        source / "__pycache__", target, ignore=shutil.ignore_patterns("*.pyc")
                    )
            made.mkdir(mode=0o700, exist_ok=True)
            for each in (made, *made.rglob("*")):
                os.chown(each, uid, uid, follow_symlinks=False)
            made.chmod(0o700)
            # Either this rename publishes it, or somebody else's did.
            with suppress(OSError):
                made.rename(home)

    def environment(self, seat: Seat, directory: Path) -> dict[str, str]:
        """Return the variables of a workload that name a place of the user's own."""
        home = self.home(seat.uid)
        temporary = PRIVATE[0] if seat.view is not None else directory / _TEMPORARY
        variables = {
            "HOME": home,
            "USER": _NAME,
            "LOGNAME": _NAME,
            "TMPDIR": temporary,
            "NUMBA_CACHE_DIR": home / _COMPILED,
            "LANDLOOM_MODELS": home / "models",
        }
        if self.models is not None:
            variables["LANDLOOM_OPERATOR_MODELS"] = self.models
        return {name: str(value) for name, value in variables.items()}

    def _uid(self, owner: str) -> int:
        """Return the number of a principal, the next one for a new one; none is given twice."""
        path = self.data_dir / _USERS
        with path.with_suffix(".lock").open("a") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
            if owner in known:
                return known[owner]
            taken = set(known.values())
            for uid in range(self.first_uid + 1, self.last_uid + 1):
                if uid not in taken and not _is_somebody(uid):
                    folder.write_json(path, {**known, owner: uid})
                    return uid
        raise Unavailable(
            f"All numbers from {self.first_uid} to {self.last_uid} belong to users.",
            suggestion="The operator names a longer range with LANDLOOM_JOB_UIDS.",
        )


def find_isolation(settings: Settings) -> Isolation | str:
    """Return how users can be kept apart here, or the reason why they cannot.

    Raises:
        SetupProblem: LANDLOOM_JOB_UIDS is no range.
    """
    first, last = settings.job_uid_range
    if settings.isolation == "off":
        return "LANDLOOM_ISOLATION=off"
    if settings.launcher == "ray" or os.environ.get("LANDLOOM_EXECUTOR", "").lower() == "ray":
        return "work on a Ray cluster is done by the cluster's user"
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux can run jobs as other users"
    reads = _needed(settings)
    problem = ""
    for means in ("namespace", "user"):
        found = Isolation(
            means=means,
            data_dir=settings.data_dir,
            first_uid=first,
            last_uid=last,
            reads=reads,
            packages=(Path(landloom.__file__).parent,),
            models=settings.models or settings.cache_dir / "models",
        )
        refusal = _try(found, settings)
        if not refusal:
            return found
        problem = problem or refusal
    return problem


def require_isolation(settings: Settings, found: Isolation | str) -> None:
    """Do nothing if users are kept apart, or need not be.

    Raises:
        SetupProblem: They are not, and the settings require it.
    """
    if isinstance(found, str) and settings.isolation == "require":
        raise SetupProblem(
            f"Users cannot be isolated from one another here: {found}.",
            suggestion="Mend that, or set LANDLOOM_ISOLATION=auto.",
        )


def _try(isolation: Isolation, settings: Settings) -> str:
    """Run a workload that tries to reach what it must not; return what is wrong, or nothing."""
    settings.workloads_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    home = isolation.home(isolation.first_uid)
    directory = Path(tempfile.mkdtemp(prefix=".probe-", dir=settings.workloads_dir))
    secret = directory.parent / f"{directory.name}.secret"
    try:
        secret.mkdir(mode=0o700)
        seat = isolation.seat_of(isolation.first_uid, "probe", directory, ())
        secrets = [secret, settings.data_dir / "db", directory / folder.SPEC]
        spec = folder.Spec(
            argv=(
                *(str(settings.job_python), "-P", "-c", _TRY, str(seat.uid)),
                *map(str, secrets),
            ),
            env={**quiet_environment(), **isolation.environment(seat, directory)},
            timeout_seconds=_PROBE_SECONDS,
            seat=seat,
        )
        folder.write_spec(directory, spec)
        subprocess.run(  # noqa: S603 - our own interpreter, our own module
            [sys.executable, "-P", "-m", "landloom.runner", str(directory)],
            cwd=directory,
            check=False,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ended = folder.read_exit(directory)
        if ended is not None and ended.exit_code == 0:
            return ""
        return _last_line(directory / folder.LOG)
    except OSError as error:
        return f"{error.strerror or error}"
    finally:
        for each in (directory, secret, home):
            shutil.rmtree(each, ignore_errors=True)


def _needed(settings: Settings) -> tuple[Path, ...]:
    """Return what every workload reads: the interpreter with its packages, and the data by name."""
    asked = subprocess.run(  # noqa: S603 - the interpreter that jobs get
        [str(settings.job_python), "-P", "-c", _ASK],
        env=quiet_environment(),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if asked.returncode:
        raise SetupProblem(
            f"The job interpreter {settings.job_python} does not run: {asked.stderr[-500:]}",
            suggestion="Name another with LANDLOOM_JOB_PYTHON.",
        )
    found = [Path(each) for each in json.loads(asked.stdout) if os.path.isabs(each)]  # noqa: PTH117
    if settings.catalog is not None:
        # Catalogues name files beside themselves.
        beside = settings.catalog.parent
        found.append(settings.catalog if _closed_above(beside / "x") == beside else beside)
    found += [each for each in (settings.divisions, settings.ca_bundle) if each is not None]
    return tuple(dict.fromkeys([*found, *settings.job_reads]))


def _with_targets(paths: Sequence[Path]) -> list[Path]:
    """Return the paths that are there, and what those lead to that are links."""
    both = [each for path in paths for each in (path, path.resolve())]
    return [each for each in dict.fromkeys(both) if os.path.lexists(each)]


def _emptied(shown: Sequence[Path], data_dir: Path) -> list[Path]:
    """Return the folders that a user could not pass, or that hold what is the platform's."""
    closed = {_closed_above(path) for path in shown}
    return [data_dir, *sorted(each for each in closed if each is not None and each != data_dir)]


def _closed_above(path: Path) -> Path | None:
    """Return the topmost folder on the way to `path` that not everybody may pass."""
    for parent in reversed(path.parents):
        if not parent.stat().st_mode & 0o001:
            return parent
    return None


def _hand_over(directory: Path, uid: int) -> None:
    """Let the user read what was prepared; the folder itself and its files stay root's."""
    _give(directory, uid, 0o710)
    for entry in os.scandir(directory):
        if entry.name in _RUNNERS_OWN or entry.name in {folder.WORK, _TEMPORARY}:
            continue
        if entry.is_dir(follow_symlinks=False):
            for root, _, names in os.walk(entry.path):
                _give(Path(root), uid, 0o750)
                for name in names:
                    _give(Path(root, name), uid, 0o640)
        else:
            _give(Path(entry.path), uid, 0o640)


def _give(path: Path, uid: int, mode: int) -> None:
    if not path.is_symlink():
        os.chown(path, 0, uid)
        path.chmod(mode)


def _make_own(path: Path, uid: int) -> None:
    """Make a folder of the user's own; its parent is not the user's, so it is no link."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    os.chown(path, uid, uid)


def _write_public(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)


def _is_somebody(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return lines[-1].partition(" ")[2] if lines else "the trial workload did not start"

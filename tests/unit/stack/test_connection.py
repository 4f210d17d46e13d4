"""connection.env as a shell, python-dotenv and we ourselves read it."""

import json
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landloom.errors import InvalidInput, SetupProblem
from landloom.stack.connection import UNQUOTABLE, read_connection, write_connection

dotenv = pytest.importorskip("dotenv")

VALUES = {
    "PLAIN": "s3://landloom/org/data/customer-1/",
    "SPACES": "/a folder/with spaces  and\ttab",
    "DOLLAR": "$HOME and ${PATH} and `id` and $(id)",
    "HASH": "a # b #c",
    "EMPTY": "",
    "EQUALS": "a=b==",
    "DOUBLE": 'say "hi"; rm -rf x & !',
    "UMLAUT": "/Übung/目录",
}


class TestWriteConnection:
    def test_a_shell_reads_what_was_written(self, tmp_path):
        path = tmp_path / "connection.env"
        write_connection(path, VALUES)
        code = "import json, os; print(json.dumps(dict(os.environ)))"
        said = subprocess.run(
            ["sh", "-c", f'set -a; . "{path}"; set +a; exec "$0" -c "$1"', sys.executable, code],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        seen = json.loads(said.stdout)
        assert {name: seen[name] for name in VALUES} == VALUES

    def test_dotenv_reads_what_was_written(self, tmp_path):
        path = tmp_path / "connection.env"
        write_connection(path, VALUES)
        assert dotenv.dotenv_values(path, interpolate=False) == VALUES

    @given(st.dictionaries(st.sampled_from("ABCDEF"), st.text(max_size=30), min_size=1))
    def test_we_read_what_was_written_or_refuse_to_write(self, tmp_path_factory, variables):
        path = tmp_path_factory.getbasetemp() / "any.env"
        try:
            write_connection(path, variables)
        except (InvalidInput, UnicodeEncodeError):
            return
        assert read_connection(path) == variables

    def test_only_its_owner_reads_it(self, tmp_path):
        path = tmp_path / "connection.env"
        write_connection(path, VALUES)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.parametrize("character", sorted(UNQUOTABLE))
    def test_what_readers_would_disagree_about_is_refused(self, tmp_path, character):
        with pytest.raises(InvalidInput, match="cannot be written"):
            write_connection(tmp_path / "x", {"A": f"a{character}b"})
        assert not (tmp_path / "x").exists()


class TestReadConnection:
    def test_a_missing_file_says_how_to_get_one(self, tmp_path):
        with pytest.raises(SetupProblem, match="landloom up"):
            read_connection(tmp_path / "none.env")

    def test_comments_and_nonsense_are_passed_over(self, tmp_path):
        path = tmp_path / "c.env"
        path.write_text('# a=b\n\nnonsense\nA = 1\nB="2"\n9X=3\n')
        assert read_connection(path) == {"A": "1", "B": "2"}

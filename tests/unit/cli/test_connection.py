"""Where a command finds its platform."""

import pytest

from landloom.cli.connection import Connection
from landloom.errors import SetupProblem
from landloom.stack.connection import write_connection


class TestFind:
    def test_a_file_a_folder_or_the_environment(self, tmp_path, monkeypatch):
        write_connection(tmp_path / "connection.env", {"LANDLOOM_URL": "http://a:1/"})
        monkeypatch.setenv("LANDLOOM_URL", "http://b:2")
        assert Connection.find(tmp_path / "connection.env").url == "http://a:1"
        assert Connection.find(data=tmp_path).url == "http://a:1"
        assert Connection.find().url == "http://b:2"

    @pytest.mark.parametrize("value", [None, "", "  "])
    def test_a_missing_variable_says_how_to_get_it(self, monkeypatch, value):
        monkeypatch.delenv("WHEROBOTS_API_KEY", raising=False)
        if value is not None:
            monkeypatch.setenv("WHEROBOTS_API_KEY", value)
        with pytest.raises(SetupProblem, match=r"WHEROBOTS_API_KEY.*connection\.env"):
            _ = Connection.find().api_key

    def test_keys_are_not_shown(self):
        assert "geheim" not in repr(Connection({"WHEROBOTS_API_KEY": "geheim"}, "x"))

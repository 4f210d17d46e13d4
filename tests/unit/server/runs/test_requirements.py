from __future__ import annotations

import pytest

from landloom.server.runs.requirements import check_name, check_version


class TestNames:
    @pytest.mark.parametrize("name", ["pandas", "a", "Zope.interface", "x_y-z", "ray[data,serve]"])
    def test_taken(self, name: str) -> None:
        assert check_name(f" {name} ") == name

    @pytest.mark.parametrize("name", ["", "-x", "x-", "a b", "x;y", "x[", "x @ https://e.org", "ä"])
    def test_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="not the name"):
            check_name(name)


class TestVersions:
    @pytest.mark.parametrize(
        "version",
        [
            "1.5.3",
            "v2",
            "1!2.0",
            "1.0rc1",
            "1.0.post2.dev3",
            "1.0+cu12.1",
            ">=2,<3",
            "==1.5.*",
            "~=2.2",
            "===1.0-odd",
        ],
    )
    def test_taken(self, version: str) -> None:
        assert check_version(version) == version

    @pytest.mark.parametrize("version", [None, "", "  "])
    def test_any_will_do(self, version: str | None) -> None:
        assert check_version(version) is None

    @pytest.mark.parametrize(
        "version",
        [
            *("latest", "1.0 ; x", "--pre", ">=", "=>1", "1.*", ">=1.*", "1.0,2.0", ">=1,"),
            *("===", "===a;b", "===a)", "===\0", "===\ud800", "x" * 10_000),
        ],
    )
    def test_refused(self, version: str) -> None:
        with pytest.raises(ValueError, match="neither"):
            check_version(version)

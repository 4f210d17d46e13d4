"""A second principal is let in only where each is kept to what is theirs."""

from pathlib import Path

import pytest

from landloom.errors import Forbidden, SetupProblem
from landloom.server.accounts.admission import Admission
from landloom.server.settings import Settings


def decide(tmp_path: Path, *, isolated: bool, scoped: bool, trust_users: bool = False) -> Admission:
    settings = Settings(_env_file=None, data_dir=tmp_path, trust_users=trust_users)
    return Admission.of(settings, isolated=isolated, scoped=scoped)


@pytest.mark.parametrize(
    ("isolated", "scoped", "reason"),
    [(False, True, "jobs are not isolated"), (True, False, "the same keys")],
)
def test_a_second_is_refused_where_they_would_reach_each_others(
    tmp_path: Path, *, isolated: bool, scoped: bool, reason: str
) -> None:
    admission = decide(tmp_path, isolated=isolated, scoped=scoped)
    with pytest.raises(Forbidden, match=reason) as refused:
        admission.require()
    assert "LANDLOOM_TRUST_USERS" in refused.value.suggestion
    admission.require_at_start(1)
    with pytest.raises(SetupProblem, match=f"3 users.*{reason}"):
        admission.require_at_start(3)
    trusting = decide(tmp_path, isolated=isolated, scoped=scoped, trust_users=True)
    trusting.require()
    trusting.require_at_start(3)
    assert trusting.obstacle == ""


def test_everybody_is_let_in_where_they_are_kept_apart(tmp_path: Path) -> None:
    admission = decide(tmp_path, isolated=True, scoped=True)
    admission.require()
    admission.require_at_start(3)
    assert admission.obstacle == ""

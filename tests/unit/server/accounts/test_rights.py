from __future__ import annotations

import pytest

from landloom.errors import Forbidden
from landloom.server.accounts.rights import ADMIN, BUILT_IN, RUN_LIMITS, USER, Policy, Rights

EVERYTHING = Policy("*", "*", "ALLOW")


class TestRights:
    def test_what_no_policy_allows_is_refused(self):
        assert not Rights().allow("runs:read", "runs")
        with pytest.raises(Forbidden, match="runs:read at runs/a"):
            Rights().require("runs:read", "runs/a")

    def test_a_denial_wins_whatever_the_order(self):
        denial = Policy("runs:cancel", "runs/*", "DENY")
        for policies in ((EVERYTHING, denial), (denial, EVERYTHING)):
            rights = Rights(policies)
            assert not rights.allow("runs:cancel", "runs/a/cancel")
            assert rights.allow("runs:read", "runs/a")

    @pytest.mark.parametrize(
        ("locator", "place", "covered"),
        [
            ("*", "runs/a", True),
            ("runs/*", "runs/a/logs", True),
            ("runs/*", "runs", False),
            ("runs/a", "runs/ab", False),
            ("runs/*/logs", "runs/a/logs", True),
            ("runs/*/logs", "runs/a", False),
            ("runs/.", "runs/a", False),
            ("runs/a*a", "runs/a", False),
            ("runs/a*a", "runs/aa", True),
            ("*/a*b/*", "x/ab/", True),
            ("*a*a*", "-a-", False),
            ("*.tif", "files/a.tif/b.tif", True),
            ("a*\n*b", "a\nb", True),
            ("", "", True),
            ("", "runs", False),
        ],
    )
    def test_a_star_stands_for_anything_and_nothing_else_is_special(self, locator, place, covered):
        assert Policy("*", locator, "ALLOW").covers("runs:read", place) is covered

    def test_many_stars_do_not_try_every_way_through_a_long_path(self):
        stars = Policy("*", "*/" * 200 + "*.tif", "ALLOW")
        assert not stars.covers("files:read", "storage/" + "/" * 8000)
        assert stars.covers("files:read", "storage/" + "/" * 8000 + "a.tif")

    def test_policies_about_other_storage_say_nothing_here(self):
        assert not Rights((Policy("*", "*", "ALLOW", "AWS"),)).allow("runs:read", "runs")

    def test_policies_survive_storage(self):
        policies = (EVERYTHING, Policy("a:b", "c*", "DENY", "AWS"))
        assert Rights.of([each.to_json() for each in policies]) == Rights(policies)


class TestBuiltInRoles:
    def test_an_admin_may_all(self):
        assert Rights(BUILT_IN[ADMIN]).allow("anything:at all", "anywhere")

    def test_a_user_works_and_does_not_administer(self):
        rights = Rights(BUILT_IN[USER])
        assert rights.allow("runs:create", "runs")
        assert rights.allow("apikeys:create", "apikey")
        assert rights.allow("apikeys:revoke", "apikey/abc")
        assert not rights.allow("apikeys:administer", "organization/apikeys")
        assert not rights.allow("organization:update", "organization/default-region")

    def test_a_runs_own_key_makes_no_keys(self):
        rights = Rights(BUILT_IN[ADMIN]).and_also(RUN_LIMITS)
        assert rights.allow("runs:create", "runs")
        assert not rights.allow("apikeys:create", "apikey")
        assert not rights.allow("organization:update", "organization/default-region")

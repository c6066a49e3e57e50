"""Profiles that inherit from one another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from etlctl.errors import SettingsError
from etlctl.settings import Settings

F = "config/etlctl.toml"
FAMILY = """
build.jobs = 2
build.wait_held = 1
[profiles.base]
build.jobs = 3
build.wait_held = 2
connections.far.url = "sqlite:///far.db"
[profiles.middle]
inherits = "base"
build.wait_held = 3
default_connection = "far"
[profiles.staging]
inherits = "middle"
state.lease_ttl = 9
"""
Loader = Callable[..., Settings]


def test_a_profile_has_what_it_inherits_and_lays_its_own_over_it(load_text: Loader) -> None:
    """Over two generations; each value tells where it really stands."""
    found = load_text(FAMILY, profile="staging")

    assert (found.build.jobs, found.build.wait_held_s, found.lease_ttl_s) == (3, 3, 9)
    assert found.default_connection == "far" and list(found.connections) == ["far"]
    assert found.origins["build.jobs"] == f"{F}:5 (profile base)"
    assert found.origins["build.wait_held"] == f"{F}:10 (profile middle)"


def test_a_profile_knows_nothing_of_those_that_inherit_from_it(load_text: Loader) -> None:
    """Only upwards."""
    found = load_text(FAMILY, profile="base")

    assert (found.build.jobs, found.build.wait_held_s, found.lease_ttl_s) == (3, 2, 60)


def test_the_environment_still_goes_before_a_profile(load_text: Loader) -> None:
    """Whatever it inherits."""
    assert load_text(FAMILY, {"ETLCTL_BUILD_JOBS": "7"}, profile="staging").build.jobs == 7


@pytest.mark.parametrize("profile", [None, "other"])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[profiles.a]\ninherits = 'bas'\n[profiles.base]",
            f"{F}:2: 'profiles.a.inherits' names no profile: 'bas'. Did you mean 'base'? There are: base, other.",
        ),
        ("[profiles.a]\ninherits = 'a'", f"{F}:2: 'profiles.a.inherits' makes a circle: a -> a. Let one of them"),
        (
            "[profiles.a]\ninherits = 'b'\n[profiles.b]\ninherits = 'c'\n[profiles.c]\ninherits = 'b'",
            f"{F}:6: 'profiles.c.inherits' makes a circle: b -> c -> b.",
        ),
        ("[profiles.a]\ninherits = ''", f"{F}:2: 'profiles.a.inherits' names no profile: ''."),
        ("[profiles.a]\ninherits = 1", f"{F}:2: 'profiles.a.inherits' must be the name of a profile, not a whole num"),
        ("[profiles.a]\ninherits = ['b']", f"{F}:2: 'profiles.a.inherits' must be the name of a profile, not a list."),
    ],
)
def test_an_inheritance_that_leads_nowhere_is_told_with_its_line(
    load_text: Loader, text: str, sentence: str, profile: str | None
) -> None:
    """Also where another profile is asked for, or none."""
    with pytest.raises(SettingsError) as caught:
        load_text(f"{text}\n[profiles.other]\n", profile=profile)

    assert sentence in str(caught.value)

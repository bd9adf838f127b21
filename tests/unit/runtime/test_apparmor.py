"""Which AppArmor profile does a container get, as far as no kernel has to say it?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyrunc.errors import Unsupported
from pyrunc.kernel.probe import HostFacts
from pyrunc.runtime import apparmor, apparmor_loader


@pytest.mark.parametrize("privileged", [False, True])
@pytest.mark.parametrize("named", ["", "unconfined"])
def test_without_apparmor_nothing_is_asked_for(named: str, privileged: bool) -> None:
    assert apparmor.choose(named, privileged, HostFacts()) == ""


@pytest.mark.parametrize("named", ["pyrunc-default", "docker-default", "x//y"])
def test_without_apparmor_a_named_profile_is_refused(named: str) -> None:
    with pytest.raises(Unsupported) as caught:
        apparmor.choose(named, False, HostFacts())

    assert str(caught.value).startswith(f"AppArmor profile '{named}' specified, but AppArmor is ")


def test_named_profile_is_taken_as_it_is() -> None:
    assert apparmor.choose("x//y", True, HostFacts(apparmor=True)) == "x//y"


def test_name_of_the_default_tells_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = apparmor.default_name()
    upgraded = tmp_path / "profile"
    upgraded.write_bytes(apparmor.read_default() + b"# more\n")
    monkeypatch.setattr(apparmor, "PROFILE", str(upgraded))
    new = apparmor.default_name()

    assert old != new
    assert all(re.fullmatch("pyrunc-default-[0-9a-f]{8}", name) for name in (old, new))


def test_name_stands_wherever_the_text_speaks_of_itself() -> None:
    text = apparmor_loader.rendered("some-name").decode()

    assert "@" not in text
    assert "\nprofile some-name flags=(attach_disconnected,mediate_deleted) {\n" in text
    assert text.count("peer=some-name,") == text.count("peer=") == 2

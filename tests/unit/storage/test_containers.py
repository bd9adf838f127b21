"""Which ids do containers get?"""

from __future__ import annotations

import os

import pytest

from pyrunc.storage import containers


def test_id_is_no_number_as_a_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [bytes.fromhex("796662782262" + "ab" * 26), bytes.fromhex("79666278226a" + "00" * 26)]
    monkeypatch.setattr(os, "urandom", lambda _: given.pop(0))

    assert containers.new_id() == "79666278226a" + "00" * 26

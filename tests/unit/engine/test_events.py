"""Which events pass a filter: as docker's, name by name."""

from __future__ import annotations

import pytest

from pyrunc.engine.events import matches
from pyrunc.storage.events import Event


def event(kind: str, action: str, actor_id: str = "0123abcd", **attributes: str) -> Event:
    return Event(
        number=1, time_ns=1, kind=kind, action=action, actor_id=actor_id, attributes=attributes
    )


DIE = event("container", "die", name="box", image="busybox:1", tier="back")
HEALTH = event("container", "health_status: healthy", name="box", image="busybox:1")
PULL = event("image", "pull", "busybox:1", name="busybox")
CABLE = event("network", "connect", "ffff", name="bridge", container="0123abcd")


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, [DIE, HEALTH, PULL, CABLE]),
        ({"container": ["box"]}, [DIE, HEALTH]),
        ({"container": ["/box"]}, [DIE, HEALTH]),
        ({"container": ["0123"]}, [DIE, HEALTH]),
        ({"container": ["ox"]}, []),
        ({"container": ["no", "box"], "event": ["die"]}, [DIE]),
        ({"event": ["die", "pull"]}, [DIE, PULL]),
        ({"event": ["health_status"]}, [HEALTH]),
        ({"event": ["health_status: healthy"]}, [HEALTH]),
        ({"event": ["health_status: unhealthy"]}, []),
        ({"type": ["image", "network"]}, [PULL, CABLE]),
        ({"image": ["busybox"]}, [DIE, HEALTH, PULL]),
        ({"image": ["busybox:1"]}, [DIE, HEALTH, PULL]),
        ({"image": ["busy"]}, []),
        ({"network": ["bridge"]}, [CABLE]),
        ({"volume": ["bridge"]}, []),
        ({"label": ["tier"]}, [DIE]),
        ({"label": ["tier=back"]}, [DIE]),
        ({"label": ["tier=back", "other"]}, []),
        ({"scope": ["local"]}, [DIE, HEALTH, PULL, CABLE]),
        ({"scope": ["swarm"]}, []),
    ],
)
def test_filters(filters: dict[str, list[str]], wanted: list[Event]) -> None:
    assert [one for one in (DIE, HEALTH, PULL, CABLE) if matches(one, filters)] == wanted

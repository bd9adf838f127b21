"""What does pyrunc-oci say to checkpoint and restore?

No, with exit code 1, whatever the options are: Podman takes an answer to `checkpoint --help` for
the ability, and asks `restore --lsm-mount-context` for a complaint about the missing value.
"""

from __future__ import annotations

from ..errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .oci_table import Call


def refuse(call: Call) -> NoReturn:
    """Raise Unsupported."""
    raise Unsupported(
        f"{call.name} is not supported: pyrunc does not work with CRIU", feature=call.name
    )

"""Who answers for the system calls that a filter hands to another process?

linux.seccomp.listenerPath is the socket of an agent.  The descriptor that the kernel gave for the
filter goes there with a document that tells whose it is; the connection is then closed.
Source: runtime-spec config-linux.md "The Container Process State"; seccomp_unotify(2).
"""

from __future__ import annotations

import os

from ..oci import document
from .container_state import CREATING, SPEC_VERSION, state_document
from .handing_over import connect, send_descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.launcher import Listener
    from .container_state import ContainerState

_WHAT = "seccomp listener"


def connect_agent(spec: dict[str, Any]) -> int:
    """Return a connection to the agent.  Raises: InvalidInput where nobody listens."""
    return connect(spec["linux"]["seccomp"]["listenerPath"], _WHAT)


def hand_over(
    agent_fd: int, spec: dict[str, Any], listener: Listener, state: ContainerState
) -> None:
    """Send the filter's descriptor, with the state of its process; closes that descriptor.

    Security: the metadata is the agent's own, passed on as it is and read by nobody here.
    Raises: InvalidInput where the agent does not take it.
    """
    profile = spec["linux"]["seccomp"]
    running = state.replace(pid=state.pid or listener.pid)
    status = "running" if state.pid else CREATING
    shown: dict[str, Any] = {
        "ociVersion": SPEC_VERSION,
        "fds": ["seccompFd"],
        "pid": listener.pid,
        "metadata": profile.get("listenerMetadata") or "",
        "state": state_document(running, status),
    }
    try:
        send_descriptor(agent_fd, listener.descriptor, document.dump(shown), _WHAT)
    finally:
        os.close(listener.descriptor)

"""How is a container made that waits to be started: `create`."""

from __future__ import annotations

import os

from ..network import attach as network_attach
from ..storage import containers
from .create import create
from .ensure_image import ensure_image
from .trace import Tracer, fault_from_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .engine import Engine
    from .run_options import RunOptions


def create_container(engine: Engine, options: RunOptions, *, tell: Callable[[str], object]) -> str:
    """Make a container as `run` does, but for its process; return its id.

    Everything that `run` would refuse is refused here.  The address and the view of the root
    filesystem that were had for that are given back: `start` gets its own.
    Raises: NotFound for an image that is not there; AlreadyExists for a taken name.
    """
    tracer = Tracer(None, fault_from_environment())
    image = ensure_image(engine, options, tell)
    container = create(engine, image, options, tracer)
    row, connection = container.row, container.connection
    try:
        with tracer.step("keep-container"):
            network_attach.detach(connection, row.id)
            containers.update_document(connection, row.id, row.document | {"kept": True})
            containers.remove_run_dir(engine.paths, row.id)
    except BaseException as error:
        container.undo.unwind(error)
        raise
    container.undo.keep()
    os.close(container.rootfs_fd)
    os.close(container.lock_fd)
    return row.id

"""What happens, in what order, when I type `pyrunc run`?

Reading path 1/8 · before: — · after: pyrunc/storage/layers.py
This file is the table of contents of the program: each line below leads to the file that tells
more.
"""

from __future__ import annotations

from .create import create
from .ensure_image import ensure_image
from .finish import finish
from .start import holder, leave, left, start
from .trace import Tracer, fault_from_environment
from .wait import SignalPipe, attach, starters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .engine import Engine
    from .run_options import RunOptions


def run(
    engine: Engine,
    options: RunOptions,
    *,
    tell: Callable[[str], object],
    show: Callable[[str], object],
    trace: Callable[[str], object] | None = None,
) -> int:
    """Run a container from an image; return its exit code, or 0 at once for a detached one.

    `tell` gets what the user should read beside the container's own output; `show` gets the ID of a
    detached one; `trace` gets a line a step.
    Raises: NotFound for an image that is not there; LaunchError when the container could not
    start, and then nothing of it is left.
    """
    tracer = Tracer(trace, fault_from_environment())
    image = ensure_image(engine, options, tell)  # names   -> blobs, layers   (image/, storage/)
    with SignalPipe() as signals:
        container = create(engine, image, options, tracer)  # -> rootfs, bundle, address, plan
        # bundle  -> plan -> process (runtime/, csrc/)
        launch = start(container, tracer, holder(container, signals, tell))
        if options.detach:
            return leave(container, launch, show)  # the monitor finishes it (engine/finish.py)
        ended = attach(launch, signals, starters(options), tell=tell)  # -> exit code (csrc/)
        if ended is None:
            return left(container)  # with its monitor, by the detach keys
        with tracer.step("finish"):
            finish(engine, container.connection, container.row, container.lock_fd)
    return ended.code

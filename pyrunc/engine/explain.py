"""What would `run` do?  The whole plan, without doing any of it.

The plan is compiled by the same code from the same flags; only what a start would decide by taking
it (the container's id, its address) is a placeholder.  No root is needed for an archive, an OCI
layout, a bundle, or a store that the user may read.
"""

from __future__ import annotations

import os

from ..errors import KernelError, NotFound
from ..kernel.probe import probe
from ..network.attach import preview
from ..oci import document
from ..oci.reference import parse_reference
from ..runtime import explain as plan_text
from ..runtime import seccomp
from ..runtime.plan import compile_plan
from ..runtime.plan_context import LaunchContext
from ..storage import images, overlay
from . import confinement, host_files, spec_builder, volume_mounts
from .cgroup_parent import cgroups_path, is_slice, with_manager
from .container_user import ContainerUser, resolve_number, resolve_user_in
from .ensure_image import EMBEDDED_IMAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.launch_plan import LaunchPlan
    from ..kernel.probe import HostFacts
    from ..oci.image_record import ImageRecord
    from .engine import Engine
    from .run_options import RunOptions

PLACEHOLDER_ID = "0" * 64


def explain(engine: Engine, options: RunOptions, form: str) -> str:
    """Return the plan of a run as "text", "json" (a list of steps) or "oci" (config.json).

    The image may be a name in the store, a file (docker-archive, oci-archive), a directory with an
    OCI layout, or a bundle's directory, whose config.json is then taken as it is.
    Raises: NotFound; KernelError EACCES for a store that only root may read; what `run` raises for
    bad flags.
    """
    options = with_manager(engine, options)
    facts = probe(cgroups_path(options, PLACEHOLDER_ID))
    spec, program = _spec(engine, options, facts)
    if form == "oci":
        return document.dump(spec, indent=2).decode()
    plan = _plan(engine, options, facts, spec, program)
    if form == "json":
        return document.dump(plan_text.as_json(plan), indent=2).decode()
    return plan_text.text(plan)


def _spec(
    engine: Engine, options: RunOptions, facts: HostFacts
) -> tuple[dict[str, Any], bytes | None]:
    path = options.image
    if _is_path(path) and os.path.isfile(f"{path}/config.json"):
        with open(f"{path}/config.json", "rb") as file:
            spec = document.load_object(file.read(), f"{path}/config.json")
        return spec, _program(spec, facts)
    image, user = _image(engine, options)
    options = volume_mounts.preview(engine.paths, options, image)
    rendered = None
    if options.seccomp != "unconfined" and not (options.privileged and not options.seccomp):
        names = frozenset(spec_builder.effective_capabilities(options, facts))
        profile = options.seccomp_profile or seccomp.default_profile()
        rendered = seccomp.render(profile, names, facts)
    spec = spec_builder.build_spec(
        spec_builder.SpecInputs(
            container_id=PLACEHOLDER_ID,
            hostname=host_files.container_hostname(options, PLACEHOLDER_ID),
            bundle=engine.paths.bundle(PLACEHOLDER_ID),
            image=image,
            options=options,
            user=user,
            facts=facts,
            terminal_size=(0, 0),
            seccomp=rendered,
            apparmor=confinement.choose_profile(options, facts),
        )
    )
    return spec, _program(spec, facts)


def _plan(
    engine: Engine,
    options: RunOptions,
    facts: HostFacts,
    spec: dict[str, Any],
    program: bytes | None,
) -> LaunchPlan:
    scope = None
    if is_slice(options.cgroup_parent):
        from ..runtime.cgroup_systemd import scope_of

        scope = scope_of(cgroups_path(options, PLACEHOLDER_ID), PLACEHOLDER_ID)
    context = LaunchContext(
        container_id=PLACEHOLDER_ID,
        bundle=engine.paths.bundle(PLACEHOLDER_ID),
        attach_directory=engine.paths.run_dir(PLACEHOLDER_ID),
        seccomp_program=program,
        network=preview() if options.network == "bridge" else None,
        use_init=options.init,
        hold_fifo=f"{engine.paths.run_dir(PLACEHOLDER_ID)}/hold" if options.hold else "",
        scope_unit=scope.unit if scope else "",
        scope_cgroup=scope.cgroup if scope else "",
    )
    return compile_plan(spec, facts, context)


def _program(spec: dict[str, Any], facts: HostFacts) -> bytes | None:
    """Compile the filter where that is possible; nothing is cached, nobody may need to write."""
    rendered = spec.get("linux", {}).get("seccomp")
    if rendered is None:
        return None
    from ..runtime.seccomp_compiler import compile_program

    return compile_program(rendered)


def _is_path(word: str) -> bool:
    """Tell whether the image is a file or directory: docker's references never begin so."""
    return word.startswith(("/", "./", "../", "oci:", "oci-archive:", "docker-archive:"))


def _image(engine: Engine, options: RunOptions) -> tuple[ImageRecord, ContainerUser]:
    wanted = options.user
    if _is_path(options.image):
        from .load import read_image

        image = read_image(options.image)
        return image, resolve_number(wanted or image.user)
    try:
        image = images.resolve(engine.paths, options.image)
        layers = overlay.lower_paths(engine.paths, image)
        return image, resolve_user_in(layers, wanted or image.user, options.groups)
    except NotFound:
        if parse_reference(options.image).full() != EMBEDDED_IMAGE:
            raise
        from .load import EMBEDDED, read_image

        image = read_image(EMBEDDED)  # what a run would load
        return image, resolve_number(wanted or image.user)
    except PermissionError as error:
        raise KernelError(
            "read the store",
            errno=error.errno or 0,
            subject=engine.paths.root,
            hint="as root, or with an own --root, or give an archive or a directory as the image",
        ) from error

"""What is made for a container before any of its processes is?

A name, a bundle, an address, a root filesystem, the OCI spec, the launch plan; each recorded on
disk before the act, and taken back in reverse order when a later one fails.
"""

from __future__ import annotations

import os
import time

from ..errors import AlreadyExists, KernelError
from ..kernel.probe import probe
from ..network import attach as network_attach
from ..network import networks
from ..oci import document
from ..runtime import seccomp
from ..runtime.plan import compile_plan
from ..runtime.plan_context import LaunchContext
from ..storage import containers, images, overlay
from ..storage.atomic import make_directory, remove_tree
from ..storage.database import Transaction
from . import cgroup_parent, host_files, inspect_document, journal, spec_builder, volume_mounts
from .container_user import resolve_user
from .names import random_name
from .undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection
    from typing import Any

    from ..kernel.launch_plan import LaunchPlan
    from ..kernel.probe import HostFacts
    from ..network.attach import Endpoint
    from ..network.networks import Network
    from ..oci.image_record import ImageRecord
    from ..oci.network_messages import NetworkMessages
    from ..runtime.cgroup_systemd import ScopeDriver
    from ..storage.containers import ContainerRow
    from .engine import Engine
    from .run_options import RunOptions
    from .trace import Tracer


RANDOM_NAME_ATTEMPTS = 20


class Container:
    """A container that was made and not yet started, and all that its launch needs.

    `rootfs_fd` and `lock_fd` are owned by it; they end with the process.  `undo` takes everything
    back.
    """

    engine: Engine
    connection: Connection
    row: ContainerRow
    options: RunOptions
    image: ImageRecord
    network: Network | None
    endpoint: Endpoint | None
    spec: dict[str, Any]
    facts: HostFacts
    filter: seccomp.Filter | None
    scope: ScopeDriver | None  # what has systemd make the cgroups; None: the launcher does
    plan: LaunchPlan
    terminal_size: tuple[int, int]
    rootfs_fd: int
    lock_fd: int
    undo: Undo


def create(engine: Engine, image: ImageRecord, options: RunOptions, tracer: Tracer) -> Container:
    """Make everything that a container needs before its process.

    Raises: AlreadyExists for a taken name, InvalidInput for options that don't fit the image; then
    nothing is left.
    """
    if options.log is not None:
        from .log_sink import check

        check(options.log)
    container = _container(engine, image, cgroup_parent.with_manager(engine, options))
    try:
        with tracer.step("reserve-name", options.name or ""):
            _reserve_name(container)
        with tracer.step("make-bundle"):
            _make_bundle(container)
        if volume_mounts.has_volumes(container):
            with tracer.step("make-volumes"):
                volume_mounts.make_volumes(container)
        if options.cidfile:
            with tracer.step("write-cidfile", options.cidfile):
                _write_cidfile(container)
        _prepare(container, tracer)
    except BaseException as error:
        container.undo.unwind(error)
        raise
    return container


def prepare_again(
    engine: Engine, row: ContainerRow, options: RunOptions, lock_fd: int, tracer: Tracer
) -> Container:
    """Make what a container needs for another process: it has its name, its bundle and its lock.

    Raises: NotFound when its image is gone; then all is as it was, and the lock is still held.
    """
    container = _container(engine, images.read_record(engine.paths, row.image_id), options)
    container.connection, container.row = engine.database(), row
    container.lock_fd = lock_fd
    try:
        if options.auto_remove:
            # Kernel: what was mounted volatile is refused until its mark is gone, because a crash
            # may have lost data; but nothing ran in it yet.
            remove_tree(f"{engine.paths.bundle(row.id)}/work/work/incompat")
        _prepare(container, tracer)
    except BaseException as error:
        container.undo.unwind(error)
        raise
    return container


def _container(engine: Engine, image: ImageRecord, options: RunOptions) -> Container:
    container = Container()
    container.engine, container.options, container.image = engine, options, image
    container.terminal_size = _terminal_size(options)
    container.undo = Undo()
    return container


def _prepare(container: Container, tracer: Tracer) -> None:
    with tracer.step("lease-address"):
        _lease_address(container)
    with tracer.step("mount-rootfs"):
        _mount_rootfs(container)
    with tracer.step("write-spec"):
        _write_spec(container)
    if container.spec["process"].get("apparmorProfile"):
        from .confinement import load_profile

        load_profile(container.spec["process"]["apparmorProfile"], tracer)
    with tracer.step("compile-plan"):
        _compile(container)
        _record(container)


def _terminal_size(options: RunOptions) -> tuple[int, int]:
    if not options.terminal:
        return 0, 0
    from .terminal import window_size

    return window_size(1 if not options.interactive else 0)


def _reserve_name(container: Container) -> None:
    engine, options = container.engine, container.options
    container_id = containers.new_id()
    container.connection = engine.database()
    container.lock_fd = containers.make_run_dir(engine.paths, container_id)
    container.undo.push(containers.remove_run_dir, engine.paths, container_id)
    container.row = containers.ContainerRow(
        id=container_id,
        name=options.name,
        created_ns=time.time_ns(),
        image=options.image,
        image_id=container.image.id,
        auto_remove=options.auto_remove,
        document={},
    )
    container.undo.push(_forget, container)
    _insert(container)
    # Whoever removes the image meanwhile has seen the row, or this sees that it is gone.
    images.check_there(engine.paths, container.image.id)


def _forget(container: Container) -> None:
    journal.removed(container.connection, container.row)


def _insert(container: Container) -> None:
    """Take the name that the user gave, or a free one."""
    if container.options.name:
        containers.insert(container.connection, container.row)
        return
    for attempt in range(RANDOM_NAME_ATTEMPTS):
        container.row = container.row.replace(name=random_name(attempt))
        try:
            containers.insert(container.connection, container.row)
        except AlreadyExists:
            if attempt == RANDOM_NAME_ATTEMPTS - 1:
                raise
        else:
            return


def _make_bundle(container: Container) -> None:
    engine, bundle = container.engine, container.engine.paths.bundle(container.row.id)
    try:
        os.mkdir(bundle, 0o700)
    except FileNotFoundError:
        make_directory(engine.paths.containers(), mode=0o700)
        os.mkdir(bundle, 0o700)
    container.undo.push(remove_tree, bundle)


def _write_cidfile(container: Container) -> None:
    path = container.options.cidfile
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise KernelError(
            "write the container's ID to", errno=error.errno or 0, subject=path
        ) from error
    container.undo.push(os.unlink, path)
    try:
        os.write(fd, container.row.id.encode())
    finally:
        os.close(fd)


def _lease_address(container: Container) -> None:
    container.network = container.endpoint = None
    if container.options.network != "bridge":
        return
    engine = container.engine
    container.network = networks.ensure_default(
        container.connection, engine.paths, bridge=engine.bridge, subnet=engine.subnet
    )
    container.undo.push(network_attach.detach, container.connection, container.row.id)
    container.endpoint = network_attach.attach(
        container.connection, container.network, container.row.id
    )


def _mount_rootfs(container: Container) -> None:
    container.rootfs_fd = overlay.mount_rootfs(
        container.engine.paths,
        container.image.layers,
        container.engine.paths.bundle(container.row.id),
        volatile=container.options.auto_remove,
    )
    container.undo.push(os.close, container.rootfs_fd)
    if any(mount.is_volume() for mount in container.options.mounts):
        volume_mounts.find_volumes(container)
        volume_mounts.fill_volumes(container)


def _write_spec(container: Container) -> None:
    options, row = container.options, container.row
    bundle = container.engine.paths.bundle(row.id)
    container.facts = probe(cgroup_parent.cgroups_path(options, row.id))
    hostname = host_files.container_hostname(options, row.id)
    endpoint = container.endpoint
    container.filter = _load_filter(container)
    host_files.make_bind_sources(options)
    host_files.write_host_files(
        bundle,
        options,
        hostname,
        endpoint.address if endpoint else None,
        endpoint.gateway if endpoint else None,
    )
    container.spec = spec_builder.build_spec(
        spec_builder.SpecInputs(
            container_id=row.id,
            hostname=hostname,
            bundle=bundle,
            image=container.image,
            options=options,
            user=resolve_user(
                container.rootfs_fd, options.user or container.image.user, options.groups
            ),
            facts=container.facts,
            terminal_size=container.terminal_size,
            seccomp=container.filter.document if container.filter else None,
            apparmor=apparmor_profile(options, container.facts),
        )
    )
    _write_config(f"{bundle}/config.json", document.dump(container.spec))


def _write_config(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(content)
        while left:  # a disk that is nearly full takes a part, and says why with the next one
            left = left[os.write(fd, left) :]
    finally:
        os.close(fd)


def _compile(container: Container) -> None:
    engine, row, options = container.engine, container.row, container.options
    scope = cgroup_parent.driver(container.spec, row.id, container.facts.cgroup)
    container.scope = scope
    context = LaunchContext(
        container_id=row.id,
        bundle=engine.paths.bundle(row.id),
        attach_directory=engine.paths.run_dir(row.id),
        seccomp_program=container.filter.program if container.filter else None,
        network=_network_messages(container),
        use_init=options.init,
        hold_fifo=f"{engine.paths.run_dir(row.id)}/hold" if options.hold else "",
        terminal_rows=container.terminal_size[0],
        terminal_columns=container.terminal_size[1],
        scope_unit=scope.unit if scope else "",
        scope_cgroup=scope.cgroup if scope else "",
    )
    container.plan = compile_plan(container.spec, container.facts, context)


def _load_filter(container: Container) -> seccomp.Filter | None:
    """Return the seccomp filter for the container's capabilities; None where none is wanted."""
    options = container.options
    if options.seccomp == "unconfined" or (options.privileged and not options.seccomp):
        return None
    profile = options.seccomp_profile
    return seccomp.load_filter(
        None if profile is None else document.dump(profile),
        frozenset(spec_builder.effective_capabilities(options, container.facts)),
        container.facts,
        container.engine.paths.seccomp_cache(),
    )


def apparmor_profile(options: RunOptions, facts: HostFacts) -> str:
    """Return process.apparmorProfile; nothing is read for it where the kernel has no AppArmor."""
    if not facts.apparmor and not options.apparmor:
        return ""
    from .confinement import choose_profile

    return choose_profile(options, facts)


def _network_messages(container: Container) -> NetworkMessages | None:
    if container.network is not None and container.endpoint is not None:
        return network_attach.messages(container.network, container.endpoint)
    return None


def _record(container: Container) -> None:
    """Record what ps, inspect and repair need to know, before anything of it is in the kernel."""
    value, is_new = inspect_document.build(container), not container.row.document
    if container.row.document.get("kept"):
        value["kept"] = True
    with Transaction(container.connection):
        containers.update_document(container.connection, container.row.id, value)
        container.row = container.row.replace(document=value)
        if is_new:
            _record_restarts(container)
            journal.container_event(container.connection, container.row, "create")


def _record_restarts(container: Container) -> None:
    policy, maximum = container.options.restart
    if policy == "no":
        return
    from ..oci.restart import Restarts
    from ..storage import restarts

    restarts.save(container.connection, container.row.id, Restarts(policy=policy, maximum=maximum))

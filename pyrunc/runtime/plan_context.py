"""What does a launch need to know that is neither in the spec nor a fact of the host?"""

from __future__ import annotations

from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..oci.network_messages import NetworkMessages
    from .net_devices import MovedDevice

ROOTFS_DESCRIPTOR = "rootfs"
START_DESCRIPTOR = "start"
HOLD_DESCRIPTOR = "hold"
CONSOLE_DESCRIPTOR = "console"
HOOK_DESCRIPTOR = "hook"


class LaunchContext(Record):
    """The decisions of one launch.

    The root filesystem is the detached mount behind the descriptor "rootfs" (`rootfs` is ""), or
    the directory `rootfs` on the host.  A detached mount is attached on `attach_directory`, in the
    container's own mount namespace only.
    """

    container_id: str
    bundle: str
    rootfs: str = ""
    attach_directory: str = ""
    seccomp_program: bytes | None = None  # linux.seccomp, compiled; None where the spec has none
    network: NetworkMessages | None = None
    host_devices: tuple[tuple[str, str], ...] = ()  # path inside, path of what is bound there
    net_devices: tuple[MovedDevice, ...] = ()  # linux.netDevices, as they were found
    use_init: bool = False
    start_fifo: str = ""  # wait there before exec, behind the descriptor "start"; "" runs at once
    hold_fifo: str = ""  # the same for run --hold, behind "hold"
    hook_fifo: bool = False  # a failing startContainer hook is told there, behind "hook"
    has_command: bool = True  # config.json has a `process`
    with_monitor: bool = True
    lets_go: bool = False  # of the launcher before exec, without waiting for a start
    listens: bool = False  # LISTEN_PID in the environment is to be the process's own number
    has_console_socket: bool = False  # the terminal goes to the socket behind "console"
    new_keyring: bool = True
    terminal_rows: int = 0
    terminal_columns: int = 0
    scope_unit: str = ""  # made by systemd in the middle of the launch; "" for the driver cgroupfs
    scope_cgroup: str = ""  # its cgroup in each hierarchy, in the place of linux.cgroupsPath
    preserved_descriptors: int = 0  # that the command keeps as 3 …: "preserved-0" …, the last ones
    moves_root: bool = False  # --no-pivot: the root is moved onto "/" and entered by chroot
    hidden_mounts: tuple[str, ...] = ()  # then: the host's procfs and sysfs mounts
    has_cgroups: bool = True  # else the container stays in its caller's

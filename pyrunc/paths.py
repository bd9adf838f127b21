"""Where does everything lie on disk?  The only place that joins these names.

Two trees: `root` lasts (images, layers, containers, the database), `runroot` is gone at reboot,
which is how a reboot is noticed.  Plain strings, because pathlib is too slow for hot paths.
"""

from __future__ import annotations

from .oci.record import Record

DEFAULT_ROOT = "/var/lib/pyrunc"
DEFAULT_RUNROOT = "/run/pyrunc"


class Paths(Record):
    """The two trees of one engine; every method returns an absolute path and touches nothing."""

    root: str = DEFAULT_ROOT
    runroot: str = DEFAULT_RUNROOT

    # -- what lasts --------------------------------------------------------------------------

    def oci_layout(self) -> str:
        """Return the OCI image-layout: oci-layout, index.json, blobs/."""
        return f"{self.root}/oci"

    def layers(self) -> str:
        """Return the directory of unpacked layers."""
        return f"{self.root}/layers"

    def images(self) -> str:
        """Return the directory of the images' hot forms, one file an ImageID."""
        return f"{self.root}/images"

    def manifest_lists(self) -> str:
        """Return the directory of the lists that `manifest create` puts together."""
        return f"{self.root}/manifests"

    def locks(self) -> str:
        """Return the directory of lock files."""
        return f"{self.root}/locks"

    def containers(self) -> str:
        """Return the directory of all bundles."""
        return f"{self.root}/containers"

    def bundle(self, container_id: str) -> str:
        """Return one container's OCI bundle: config.json, upper/, work/, hosts, exit.json …"""
        return f"{self.root}/containers/{container_id}"

    def log(self, container_id: str) -> str:
        """Return the log of a container; older files are beside it, with .1, .2 … at the end."""
        return f"{self.bundle(container_id)}/{container_id}-json.log"

    def volumes(self) -> str:
        """Return the directory of volumes."""
        return f"{self.root}/volumes"

    def database(self) -> str:
        """Return the SQLite database: names of containers, networks, addresses."""
        return f"{self.root}/pyrunc.db"

    def seccomp_cache(self) -> str:
        """Return the directory of compiled seccomp programs."""
        return f"{self.root}/seccomp"

    def temporary(self) -> str:
        """Return the directory where everything is built before its rename."""
        return f"{self.root}/tmp"

    def short_names(self) -> str:
        """Return the file of aliases that users have chosen for short names."""
        return f"{self.root}/short-name-aliases.conf"

    # -- what a reboot ends ------------------------------------------------------------------

    def run_containers(self) -> str:
        """Return the directory of all run directories."""
        return f"{self.runroot}/containers"

    def run_dir(self, container_id: str) -> str:
        """Return one container's run directory: state.json, lock, monitor socket."""
        return f"{self.runroot}/containers/{container_id}"

    def run_images(self) -> str:
        """Return the directory where `image mount` shows images."""
        return f"{self.runroot}/images"

    def going_down(self) -> str:
        """Return the file that holds the boot in which everything is stopped (engine/shutdown)."""
        return f"{self.runroot}/going-down"

    def begun(self) -> str:
        """Return the file by which the unit's first start is told to start nothing."""
        return f"{self.runroot}/begun"

    def networks(self) -> str:
        """Return the directory of what is set up in the kernel, one file a network."""
        return f"{self.runroot}/networks"

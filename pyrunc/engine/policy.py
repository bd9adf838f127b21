"""Which images does policy.json keep out?

Asked whenever an image comes in, from wherever; what is in the store has been asked for already.
"""

from __future__ import annotations

import os

from ..image.policy import DOCKER, no_signature, read_policy, registry_scopes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..image.archive import Archive
    from ..image.policy import Policy, Requirement
    from ..image.registry import Repository
    from ..oci.reference import Reference

DAEMON = "docker-daemon"


def refuse_by_name(policy: Policy | None, reference: Reference) -> tuple[Requirement, ...]:
    """Refuse an image of a registry before it is asked for; return which signatures are wanted.

    Raises: PyruncError in podman's words.
    """
    if policy is None:
        return ()
    return policy.check(DOCKER, registry_scopes(reference), f"docker://{reference.familiar()}")


def refuse_unsigned(
    policy: Policy | None,
    repository: Repository,
    wanted: Sequence[Requirement],
    digests: Sequence[str],
) -> None:
    """Refuse an image none of whose digests is signed as wanted.

    Raises: PyruncError in podman's words; RegistryError.
    """
    if policy is None or not wanted:
        return
    from ..image.sigstore import check_signed

    check_signed(repository, wanted, digests, policy.file)


def refuse_daemons(reference: Reference) -> None:
    """Refuse an image of docker's own store.  Raises: PyruncError."""
    policy = read_policy(os.environ)
    name = f"{DAEMON}:{reference.familiar()}"
    if policy is not None and policy.check(DAEMON, registry_scopes(reference), name):
        raise no_signature(name, policy.file)


def refuse_place(archive: Archive, place: str | int, reference: str) -> None:
    """Refuse what a file or directory holds, by the transport that it is of.

    Raises: PyruncError.
    """
    policy = read_policy(os.environ)
    if policy is not None:
        is_directory = isinstance(place, str) and os.path.isdir(place)
        path = place if isinstance(place, str) else ""
        policy.check_local(_transport(archive, is_directory=is_directory), path, reference)


def refuse_tarball() -> None:
    """Refuse root filesystems, if that is what the policy says.  Raises: PyruncError."""
    policy = read_policy(os.environ)
    if policy is not None:
        policy.check_local("tarball", "")


def _transport(archive: Archive, *, is_directory: bool) -> str:
    if is_directory:
        is_layout = archive.member("index.json") is not None
        return "oci" if is_layout else "dir"
    is_docker = archive.member("manifest.json") is not None
    return "docker-archive" if is_docker else "oci-archive"

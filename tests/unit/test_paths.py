"""Where things lie: every path is under one of the two trees, and no two are the same."""

from __future__ import annotations

from pyrunc.paths import Paths

PATHS = Paths(root="/r", runroot="/u")


def test_every_path_is_under_its_own_tree_and_differs_from_the_others() -> None:
    lasting = [PATHS.oci_layout(), PATHS.layers(), PATHS.containers(), PATHS.volumes()]
    lasting += [PATHS.database(), PATHS.seccomp_cache(), PATHS.temporary()]
    fleeting = [PATHS.run_containers(), PATHS.networks()]

    assert all(path.startswith("/r/") for path in lasting)
    assert all(path.startswith("/u/") for path in fleeting)
    assert len({*lasting, *fleeting}) == len(lasting) + len(fleeting)


def test_bundle_and_run_directory_are_named_by_the_container() -> None:
    assert PATHS.bundle("abc") == f"{PATHS.containers()}/abc"
    assert PATHS.run_dir("abc") == f"{PATHS.run_containers()}/abc"


def test_defaults_are_those_of_the_documentation() -> None:
    assert (Paths().root, Paths().runroot) == ("/var/lib/pyrunc", "/run/pyrunc")

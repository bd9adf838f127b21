"""How much disk does a tree take?"""

from __future__ import annotations

import os


def tree_size(path: str) -> int:
    """Return the bytes of all regular files below a directory, hard links once; 0 if there is none.

    Follows no links and stays on the filesystem it begins on.
    """
    seen: set[tuple[int, int]] = set()
    total = 0
    if not os.path.isdir(path):
        return total
    for _, _, files, directory_fd in os.fwalk(path, follow_symlinks=False):
        for name in files:
            try:
                status = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_size
    return total

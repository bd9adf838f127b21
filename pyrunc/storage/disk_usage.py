"""How much disk does a tree take?"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import InvalidInput
from .tree_walk import walk

_TOO_MANY_OPEN = (errno.EMFILE, errno.ENFILE)


def tree_size(path: str) -> int:
    """Return the bytes of all regular files below a directory, hard links once; 0 if there is none.

    Follows no links and stays on the filesystem it begins on.  What nests more deeply than
    tree_walk goes is not counted: nobody's image or container keeps others from being removed.
    """
    seen: set[tuple[int, int]] = set()
    total = 0
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    try:
        for node in walk(fd, enter=lambda _fd, is_mount: not is_mount):
            status = node.status
            key = (status.st_dev, status.st_ino)
            if stat.S_ISDIR(status.st_mode) or key in seen:
                continue
            if status.st_nlink > 1:
                seen.add(key)
            total += status.st_size
    except InvalidInput:
        return total
    except OSError as error:
        if error.errno not in _TOO_MANY_OPEN:
            raise
    finally:
        os.close(fd)
    return total

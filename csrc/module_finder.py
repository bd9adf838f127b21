"""Find the package's modules in one file of compiled code; run by command.c's first lines.

Importing a module from its .pyc costs four system calls and a walk through sys.path_hooks: a tenth
of a millisecond each, and `run` imports seventy.  Here it is one pread.  `file` is the open bundle
and `package_parent` the directory that the package lies in; both are set by whoever runs this.

In a source tree each source is compared with what was compiled, so that an edit counts at once.
"""

import _imp
import marshal
import posix
import sys

ModuleSpec = type(sys.__spec__)


class BundleFinder:
    """Finder and loader of the modules in the bundle; others are found in the usual way."""

    descriptor = file.fileno()  # noqa: F821  # see above
    keep_open = file  # noqa: F821
    is_checked, index = marshal.load(file)  # noqa: F821
    bodies = file.tell()  # noqa: F821

    @classmethod
    def find_spec(cls, name, path=None, target=None):  # noqa: ANN001, ANN206
        """Return the specification of a module that is in the bundle and not changed since."""
        entry = cls.index.get(name)
        if entry is None:
            return None
        is_package, relative, modified_ns, size, _, _ = entry
        origin = f"{package_parent}/{relative}"  # noqa: F821
        if cls.is_checked:
            try:
                status = posix.stat(origin)
            except OSError:
                return None
            if (status.st_mtime_ns, status.st_size) != (modified_ns, size):
                return None
        spec = ModuleSpec(name, cls, origin=origin, is_package=is_package)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations.append(origin.rpartition("/")[0])
        return spec

    @staticmethod
    def create_module(spec):  # noqa: ANN001, ANN205
        """Leave it to the import system."""

    @classmethod
    def exec_module(cls, module):  # noqa: ANN001, ANN206
        """Read the module's code and run it; tracebacks name the source where it lies now."""
        *_, offset, length = cls.index[module.__name__]
        code = marshal.loads(posix.pread(cls.descriptor, length, cls.bodies + offset))
        _imp._fix_co_filename(code, module.__file__)
        exec(code, module.__dict__)


sys.meta_path.insert(0, BundleFinder)

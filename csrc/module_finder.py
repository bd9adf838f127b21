"""Find the package's modules in one file of compiled code; run by command.c's first lines.

Importing a module from its .pyc costs four system calls and a walk through sys.path_hooks: a tenth
of a millisecond each, and `run` imports seventy.  Here it is one pread.  Whoever runs this sets
`file`, the descriptor of the bundle, `head`, what it begins with, and `package_parent`, the
directory that the package lies in.

In a source tree each source is compared with what was compiled, so that an edit counts at once.
"""

import _imp
import marshal
import posix
import sys

ModuleSpec = type(sys.__spec__)


class BundleFinder:
    """Finder and loader of the modules in the bundle; others are found in the usual way."""

    _, is_checked, index, bodies = head  # noqa: F821  # see above

    @classmethod
    def find_spec(cls, name, path=None, target=None):  # noqa: ANN001, ANN206
        """Return the specification of a module that is in the bundle and not changed since."""
        entry = cls.index.get(name)
        if entry is None:
            return None
        is_package, modified_ns, size, _, _ = entry
        tail = "/__init__.py" if is_package else ".py"
        origin = f"{package_parent}/{name.replace('.', '/')}{tail}"  # noqa: F821
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
        code = marshal.loads(posix.pread(file, length, cls.bodies + offset))  # noqa: F821
        _imp._fix_co_filename(code, module.__file__)
        exec(code, module.__dict__)


sys.meta_path.insert(0, BundleFinder)

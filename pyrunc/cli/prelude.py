"""What happens between the executable and the first command?

The installed `pyrunc` and `pyrunc-oci` (csrc/command.c) start Python with a few lines that find
this module; here are the other first acts of a program, and its last.  Hot: built-in modules only.
"""

import gc
import sys
from _signal import SIG_DFL, SIG_IGN, SIG_UNBLOCK, SIGINT, getsignal, pthread_sigmask, signal
from posix import _exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# A start allocates a lot and frees little: a patient collector saves a millisecond.
gc.set_threshold(100000)


def lead(module: str) -> "NoReturn":
    """Run the function `main` of a module, and end the process with what it returns.

    The executable blocked SIGINT: until main() is there to say something about it, Ctrl-C just ends
    the process; the interpreter's own handler, which prints a traceback, never gets one.  Leaves by
    _exit: to take the interpreter apart would cost another millisecond.
    """
    if getsignal(SIGINT) is not SIG_IGN:
        signal(SIGINT, SIG_DFL)
    pthread_sigmask(SIG_UNBLOCK, [SIGINT])
    code = __import__(module, fromlist=("main",)).main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 1
    _exit(code)

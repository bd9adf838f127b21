"""What can go wrong, as classes that say what a caller can do about it.

PyruncError(problem, subject=, hint=)        exit 125 in run, create and start; elsewhere 1
├─ InvalidInput .where                       flag, JSON path or offset
│  └─ InvalidSpec .clause                    a rule of a specification
├─ NotFound · AlreadyExists · InUse          .kind .name
├─ InvalidState .state .wanted
├─ IntegrityError .expected .actual
│  └─ UnsafeArchive .entry
├─ RegistryError .url .status .code
│  └─ AuthRequired
├─ Unsupported .feature .needs               kernel version, module, option
├─ KernelError .op .errno .subject
│  └─ LaunchError .step
│     ├─ CommandNotFound                     exit 127
│     └─ CommandNotExecutable                exit 126
├─ UnitError .name                          systemd refused, or can't be reached
├─ LockTimeout
└─ Interrupted

A message reads "cannot <do what> <on what>: <why> (<ERRNO>)", lower case, no full stop; the hint is
a line of its own.  Words that users' scripts match (`verbatim`) are printed exactly as given.
"""

from __future__ import annotations

import errno as errno_module
import os


def errno_name(number: int) -> str:
    """Return "EPERM" for 1; "errno 999" for a number without a name."""
    return errno_module.errorcode.get(number, f"errno {number}")


def errno_reason(number: int) -> str:
    """Return strerror(3) in lower case, without a full stop."""
    text = os.strerror(number)
    return text[:1].lower() + text[1:]


def errno_hint(number: int | None) -> str | None:
    """Return what to do about an errno that the disk or a limit is the reason of; else None."""
    return {
        errno_module.EMFILE: "raise the limit on open files (ulimit -n)",
        errno_module.ENFILE: "raise the machine's limit on open files (sysctl fs.file-max)",
        errno_module.EFBIG: "raise the limit on the size of files (ulimit -f)",
        errno_module.ENOMEM: "free some memory, or raise the limit on it (ulimit -v, memory.max)",
        errno_module.ENOSPC: "make room below --root",
        errno_module.EDQUOT: "make room below --root, or raise the quota",
        errno_module.EROFS: "is --root on a writable filesystem?",
        errno_module.EIO: "the disk may be failing: see the kernel's log (dmesg)",
    }.get(number or 0)


class PyruncError(Exception):
    """Base of every error that a user may see; `str()` is the whole message without the hint."""

    exit_code = 1

    def __init__(
        self, problem: str, *, subject: str | None = None, hint: str | None = None
    ) -> None:
        """Keep the parts.  `problem` is the sentence; `subject` names the object it is about."""
        super().__init__(problem)
        self.problem = problem
        self.subject = subject
        self.hint = hint

    def __str__(self) -> str:
        """Word the message: the problem, with nothing added."""
        return self.problem


class InvalidInput(PyruncError):
    """The user's or a document's words are off; `where` is a flag, a JSON path or an offset."""

    def __init__(
        self,
        problem: str,
        *,
        where: str | None = None,
        subject: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep the place beside the problem."""
        super().__init__(problem, subject=subject, hint=hint)
        self.where = where


class InvalidSpec(InvalidInput):
    """A document breaks a rule of its specification; `clause` names the rule."""

    def __init__(self, problem: str, *, where: str, clause: str, hint: str | None = None) -> None:
        """Word as "<where>: <problem> (<clause>)"."""
        super().__init__(f"{where}: {problem} ({clause})", where=where, hint=hint)
        self.clause = clause


class _Named(PyruncError):
    """An error about one named object of a kind: "container", "image", "network" …"""

    def __init__(self, problem: str, *, kind: str, name: str, hint: str | None = None) -> None:
        super().__init__(problem, subject=name, hint=hint)
        self.kind = kind
        self.name = name


class NotFound(_Named):
    """No object of that kind and name."""


class AlreadyExists(_Named):
    """The name is taken."""


class InUse(_Named):
    """Something else still uses the object."""


class InvalidState(PyruncError):
    """The object is in `state`; the operation wants `wanted`."""

    def __init__(
        self,
        problem: str,
        *,
        state: str,
        wanted: str,
        subject: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep both states."""
        super().__init__(problem, subject=subject, hint=hint)
        self.state = state
        self.wanted = wanted


class IntegrityError(PyruncError):
    """Bytes are not what their digest, size or diff-id says."""

    def __init__(
        self,
        problem: str,
        *,
        expected: str | None = None,
        actual: str | None = None,
        subject: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep what was expected and what came."""
        super().__init__(problem, subject=subject, hint=hint)
        self.expected = expected
        self.actual = actual


class UnsafeArchive(IntegrityError):
    """An archive's `entry` would write outside, or is malformed in a way that attacks use."""

    def __init__(
        self, problem: str, *, entry: str, subject: str | None = None, hint: str | None = None
    ) -> None:
        """Keep the entry's name as `repr` would show it."""
        super().__init__(problem, subject=subject, hint=hint)
        self.entry = entry


class RegistryError(PyruncError):
    """A registry answered with an error, or not at all."""

    def __init__(
        self,
        problem: str,
        *,
        url: str,
        status: int | None = None,
        code: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep the URL without credentials, the HTTP status and the registry's code."""
        super().__init__(problem, subject=url, hint=hint)
        self.url = url
        self.status = status
        self.code = code


class AuthRequired(RegistryError):
    """The registry wants credentials, or other ones."""


class Unsupported(PyruncError):
    """This host, or this version of pyrunc, cannot do it; `needs` says what would."""

    def __init__(
        self, problem: str, *, feature: str, needs: str | None = None, hint: str | None = None
    ) -> None:
        """Keep feature and need."""
        super().__init__(problem, subject=feature, hint=hint)
        self.feature = feature
        self.needs = needs


class KernelError(PyruncError):
    """A system call failed: `op` ("mount proc on"), the subject, and the errno."""

    def __init__(
        self,
        op: str,
        *,
        errno: int,
        subject: str | None = None,
        why: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Word as "cannot <op> <subject>: <why> (<ERRNO>)"; `why` defaults to the errno's text."""
        about = op if subject is None else f"{op} {subject!r}"
        super().__init__(
            f"cannot {about}: {why or errno_reason(errno)} ({errno_name(errno)})",
            subject=subject,
            hint=hint,
        )
        self.op = op
        self.errno = errno


class LaunchError(KernelError):
    """A step of the launch failed; nothing of the container is left."""

    exit_code = 125

    def __init__(
        self,
        op: str,
        *,
        errno: int,
        step: str,
        number: int | None = None,
        total: int | None = None,
        subject: str | None = None,
        why: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Add "(step 14 of 31)" behind the subject when the position is known."""
        position = f" (step {number} of {total})" if number is not None else ""
        super().__init__(op, errno=errno, subject=subject, why=why, hint=hint)
        if position:
            head, separator, tail = self.problem.partition(": ")
            self.problem = f"{head}{position}{separator}{tail}"
        self.step = step


class CommandNotFound(LaunchError):
    """The container's command, or its interpreter, does not exist."""

    exit_code = 127


class CommandNotExecutable(LaunchError):
    """The container's command exists and cannot be executed."""

    exit_code = 126


class UnitError(PyruncError):
    """systemd refused what was asked of a unit; `name` is its D-Bus error, "" for none."""

    def __init__(self, problem: str, *, name: str = "") -> None:
        """Keep the error's name."""
        super().__init__(problem)
        self.name = name


class LockTimeout(PyruncError):
    """Another process holds the lock."""


class Interrupted(PyruncError):
    """The user pressed Ctrl-C, or sent a signal, before there was anything to keep."""

    def __init__(self, problem: str, *, signal: int) -> None:
        """Exit as a shell would report the signal."""
        super().__init__(problem)
        self.exit_code = 128 + signal


def not_utf8(argument: str) -> InvalidInput:
    """Return the error for bytes of a command line that are no characters."""
    problem = f"an argument is not valid UTF-8: {argument[:200]}"
    return InvalidInput(problem, hint="names and values are text in UTF-8; type it so")

"""Where in a launch do hooks run?

prestart and createRuntime hooks belong into the caller's namespaces: the launch stops for them.
createContainer and startContainer hooks are steps of the container's own first process.  poststart
and poststop hooks are no part of a launch (hooks.py).
Source: runtime-spec config.md "POSIX-platform Hooks", runtime.md "Lifecycle".
"""

from __future__ import annotations

from ..errors import InvalidSpec
from ..kernel.launch_plan import PARENT, Step, pack_strings
from ..oci import document
from .plan_context import HOOK_DESCRIPTOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .plan_context import LaunchContext

HOOK_KINDS = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)

_WORD_LIMIT = 1024  # of csrc/step_hook.c


def hooks_of(spec: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the hooks of one kind, in their order."""
    hooks: list[dict[str, Any]] = (spec.get("hooks") or {}).get(kind) or []
    return hooks


def has_runtime_hooks(spec: dict[str, Any]) -> bool:
    """Tell whether a launch stops for hooks in the caller's namespaces."""
    return bool(hooks_of(spec, "prestart") or hooks_of(spec, "createRuntime"))


def call_hooks_steps(spec: dict[str, Any]) -> list[Step]:
    """Return the launcher's part of the stop."""
    return [Step(kind="call-hooks", stage=PARENT)] if has_runtime_hooks(spec) else []


def await_hooks_steps(spec: dict[str, Any]) -> list[Step]:
    """Return the child's part of the stop."""
    return [Step(kind="await-hooks")] if has_runtime_hooks(spec) else []


def hook_steps(kind: str, spec: dict[str, Any], context: LaunchContext) -> list[Step]:
    """Return one step a createContainer or startContainer hook.  Raises: InvalidSpec."""
    in_bundle = kind == "createContainer"
    return [
        Step(
            kind="run-hook",
            target=f"{kind} #{number}",
            path=hook["path"],
            a=hook.get("timeout") or 0,
            b=len(arguments_of(hook)) | len(hook.get("env") or []) << 16 | number << 32,
            data=pack_strings(
                [
                    *arguments_of(hook),
                    *(hook.get("env") or []),
                    context.bundle if in_bundle else "",
                    *_state_around_pid(spec, context),
                ]
            ),
            fd=HOOK_DESCRIPTOR if context.hook_fifo and not in_bundle else "",
        )
        for number, hook in enumerate(hooks_of(spec, kind))
        if _is_bounded(hook, f"hooks.{kind}[{number}]")
    ]


def arguments_of(hook: dict[str, Any]) -> list[str]:
    """Return a hook's argv; without `args`, its path."""
    arguments: list[str] = hook.get("args") or [hook["path"]]
    return arguments


def hook_state(
    container_id: str, bundle: str, annotations: dict[str, str] | None, status: str, pid: int
) -> bytes:
    """Return the state that a hook reads from its stdin."""
    from .container_state import SPEC_VERSION  # not for launches without hooks

    state: dict[str, Any] = {
        "ociVersion": SPEC_VERSION,
        "id": container_id,
        "status": status,
        "pid": pid,
        "bundle": bundle,
    }
    if annotations:
        state["annotations"] = annotations
    return document.dump(state)


def _state_around_pid(spec: dict[str, Any], context: LaunchContext) -> tuple[bytes, bytes]:
    """Return the state's text before and behind the pid, which only the process itself knows."""
    annotations = spec.get("annotations")
    text = hook_state(context.container_id, context.bundle, annotations, "created", 0)
    before, name, behind = text.partition(b'"pid":')
    return before + name, behind[1:]


def _is_bounded(hook: dict[str, Any], where: str) -> bool:
    count = len(arguments_of(hook)) + len(hook.get("env") or [])
    if count > _WORD_LIMIT:
        problem = f"{count} arguments and variables are more than the limit of {_WORD_LIMIT}"
        raise InvalidSpec(problem, where=where, clause="config.md")
    return True

"""Which devices may a container open, in the words of cgroup v1 and as a program for v2?

The spec's rules come in order and the last that matches wins; the runtime's own defaults come last.
Source: runtime-spec config-linux.md "Allowed Device list"; Documentation/admin-guide/cgroup-v1/
devices.rst; BPF_PROG_TYPE_CGROUP_DEVICE in include/uapi/linux/bpf.h.
"""

from __future__ import annotations

from _struct import pack

from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ANY = -1


class DeviceRule(Record):
    """Allow or deny.  `kind` is "a", "b" or "c"; `access` some of "rwm"; ANY is a wildcard."""

    allow: bool
    kind: str = "a"
    major: int = ANY
    minor: int = ANY
    access: str = "rwm"

    def is_everything(self) -> bool:
        """Tell whether no device and no access is left out."""
        return (self.kind, self.major, self.minor) == ("a", ANY, ANY) and len(self.access) == 3

    def line(self) -> str:
        """Return the rule as devices.allow and devices.deny take it."""
        if self.kind == "a":
            return "a"
        major, minor = (("*" if n == ANY else str(n)) for n in (self.major, self.minor))
        return f"{self.kind} {major}:{minor} {self.access}"


# Every node may be made (opening it is another matter), these may be used.
DEFAULT_RULES = (
    DeviceRule(allow=True, kind="c", access="m"),
    DeviceRule(allow=True, kind="b", access="m"),
    *(
        DeviceRule(allow=True, kind="c", major=major, minor=minor)
        for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, ANY))
    ),
)

DENY_EVERYTHING = DeviceRule(allow=False)


def device_rules(entries: list[dict[str, Any]]) -> tuple[DeviceRule, ...]:
    """Return the rules to apply: deny everything, the spec's (checked before), the defaults.

    What comes before the last rule about everything has no effect and is left out.  Where
    everything is allowed in the end, the defaults are left out too.
    """
    rules = [DENY_EVERYTHING]
    for entry in entries:
        for rule in _from_entry(entry):
            rules = [rule] if rule.is_everything() else [*rules, rule]
    if rules[0].allow and len(rules) == 1:
        return tuple(rules)
    return (*rules, *DEFAULT_RULES)


def program(rules: tuple[DeviceRule, ...]) -> bytes:
    """Return the eBPF instructions of a program that decides by these rules.

    The context is {u32 access << 16 | type, u32 major, u32 minor}; 1 allows, 0 is EPERM.
    """
    code = [
        _instruction(0x61, 2, 1, offset=0),  # r2 = context->access_type
        _instruction(0xBC, 3, 2),  # r3 = r2
        _instruction(0x54, 2, immediate=0xFFFF),  # r2 &= 0xffff: block or character
        _instruction(0x74, 3, immediate=16),  # r3 >>= 16: what is wanted
        _instruction(0x61, 4, 1, offset=4),  # r4 = context->major
        _instruction(0x61, 5, 1, offset=8),  # r5 = context->minor
    ]
    for rule in reversed(rules):
        code += _rule_code(rule)
        if rule.is_everything():
            return b"".join(code)
    return b"".join([*code, *_answer(0)])


_KINDS = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}


def _from_entry(entry: dict[str, Any]) -> list[DeviceRule]:
    major, minor = entry.get("major"), entry.get("minor")
    rule = DeviceRule(
        allow=bool(entry.get("allow")),
        kind=(entry.get("type") or "a").replace("u", "c"),
        major=ANY if major is None or major < 0 else major,
        minor=ANY if minor is None or minor < 0 else minor,
        access=entry.get("access") or "rwm",
    )
    if rule.kind == "a" and not rule.is_everything():
        # Kernel: "a" always means every device and every access.
        return [rule.replace(kind="c"), rule.replace(kind="b")]
    return [rule]


def _rule_code(rule: DeviceRule) -> list[bytes]:
    answer = _answer(1 if rule.allow else 0)
    tests: list[bytes] = []
    # Built from the end, because a test that fails jumps over all that follows.
    for register, value in ((5, rule.minor), (4, rule.major)):
        if value != ANY:
            tests.insert(0, _jump_unequal(register, value, len(tests) + len(answer)))
    if len(set(rule.access)) < 3:
        tests = _access_test(rule, len(tests) + len(answer)) + tests
    if rule.kind != "a":
        tests.insert(0, _jump_unequal(2, _KINDS[rule.kind], len(tests) + len(answer)))
    return tests + answer


def _access_test(rule: DeviceRule, skip: int) -> list[bytes]:
    access = sum(_ACCESS[letter] for letter in set(rule.access))
    copy = _instruction(0xBC, 6, 3)  # r6 = what is wanted
    if rule.allow:  # all that is wanted must be in the rule
        rest = _instruction(0x54, 6, immediate=~access & 7)
        return [copy, rest, _instruction(0x56, 6, offset=skip)]  # if r6 != 0 goto next rule
    common = _instruction(0x54, 6, immediate=access)  # one that is denied is enough
    return [copy, common, _instruction(0x16, 6, offset=skip)]  # if r6 == 0 goto next rule


def _jump_unequal(register: int, value: int, skip: int) -> bytes:
    # Kernel: a 32-bit compare, so that majors and minors above 2^31 compare as they are.
    return _instruction(0x56, register, offset=skip, immediate=value)


def _answer(value: int) -> list[bytes]:
    return [_instruction(0xB7, 0, immediate=value), _instruction(0x95)]


def _instruction(
    opcode: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0
) -> bytes:
    return pack("=BBhI", opcode, destination | source << 4, offset, immediate & 0xFFFFFFFF)

# What a container may do that has no AppArmor profile of its own: pyrunc's default.
#
# Loaded by runtime/apparmor_loader.py as pyrunc-default-HASH, where HASH is of this text: a new version of it is another
# profile, and a container that runs keeps the one it began with.  It grants and denies what docker-default does (moby,
# profiles/apparmor/template.go) and podman's containers-default (containers/common, pkg/apparmor); what differs says why.
# It holds beside capabilities, the seccomp filter and read-only mounts, and still where one of those was given away.
# No `abi`: the parser takes what the distribution has pinned, and a kernel that knows more asks for nothing more.

profile @NAME@ flags=(attach_disconnected,mediate_deleted) {
  # What is left of these is decided elsewhere: by namespaces, capabilities, the filter and the mounts.
  network,
  unix,
  capability,
  file,
  umount,

  # Signals go to the containers of this profile alone, which a PID namespace narrows to its own.  They may come from
  # anybody: here the user's own command sends them, not a daemon, and a terminal on Ubuntu may have a profile of its own.
  signal (receive),
  signal (send) peer=@NAME@,

  # Who is traced decides little: the tracer's profile and capabilities decide.
  ptrace (readby, tracedby),
  ptrace (read, trace) peer=@NAME@,

  # Not even with CAP_SYS_ADMIN.  pivot_root and change_profile are denied by not being granted.
  deny mount,

  # /proc: nothing is written but what belongs to a process, or is private to an IPC namespace.
  deny /proc/* w,
  deny /proc/{[^1-9s]*,s[^y]*,sy[^s]*,sys?*}/** w,
  deny /proc/sys/{[^k]*,k[^e]*} w,
  deny /proc/sys/{[^k]*,k[^e]*}/** w,
  deny /proc/sys/kernel/{[^s]**,s[^h]**,sh[^m]**} w,
  deny /proc/{kcore,sysrq-trigger} rwklx,

  # /sys: nothing is written but cgroups.
  deny /sys/{[^f]*,f[^s]*,fs/[^c]*,fs/c[^g]*,fs/cg[^r]*}/** wklx,
  deny /sys/{firmware,devices/virtual/powercap,kernel/security}/** rwklx,
}

#!/bin/bash
# Do README's two commands work where nothing was installed by hand?
#
#   tests/fresh_machine.sh [bookworm|noble] [COMMAND]     default: bookworm, "make demo && .ci/run"
#
# Bootstraps a minimal root (apt only), clones HEAD of this repository into it, and runs the command there as root
# with the machine's own /proc, /sys and /dev.  Needs root, mmdebstrap, and for noble the package ubuntu-keyring.
# With FRESH_ALONE=1 the root of the time before is used again (see below).
# FRESH_COPY names files of this machine that its network needs (pip.conf, certificates), FRESH_DIRECTORY where to work.
set -euo pipefail

suite=${1:-bookworm}
command=${2:-make demo && .ci/run}
source=$(cd "$(dirname "$0")/.." && pwd)
work=${FRESH_DIRECTORY:-/var/tmp/pyrunc-fresh}
root=$work/$suite

sources=()
if [ "$suite" = noble ]; then
    sources=("deb [signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] http://archive.ubuntu.com/ubuntu noble main universe"
             "deb [signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] http://archive.ubuntu.com/ubuntu noble-updates main universe")
elif [ -f /etc/apt/sources.list.d/debian.sources ]; then
    sources=(/etc/apt/sources.list.d/debian.sources)
fi

mkdir -p "$work"
if [ ! -f "$work/$suite.tar" ]; then
    mmdebstrap --quiet --variant=minbase --include=apt "$suite" "$work/new-$suite.tar" "${sources[@]}"
    mv "$work/new-$suite.tar" "$work/$suite.tar"
fi
if [ -z "${FRESH_ALONE:-}" ]; then
    rm -rf --one-file-system "$root"
    mkdir -p "$root"
    tar -x -C "$root" -f "$work/$suite.tar"
    [ "$suite" != noble ] || sed -i 's#signed-by=[^]]*#signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg#' "$root/etc/apt/sources.list"
    git clone --quiet "$source" "$root/root/pyrunc"
    for file in /etc/resolv.conf ${FRESH_COPY:-}; do
        mkdir -p "$root$(dirname "$file")"
        cp -aLT "$file" "$root$file"
    done
    command="apt-get -q update; apt-get -q -y install git make; $command"
fi

# A mount namespace of its own, so that nothing stays mounted here; and a new root, not a chroot, because the kernel
# makes no user namespaces for a process in a chroot.  FRESH_ALONE=1 also takes a network and a pid namespace, for
# machines on which others run containers at the same time; then nothing can be fetched.
namespaces=(--mount --propagation private)
[ -z "${FRESH_ALONE:-}" ] || namespaces+=(--net --pid --fork --kill-child)
unshare "${namespaces[@]}" bash -euc '
    ip link set lo up
    mount --bind "$0" "$0"
    cd "$0"
    for tree in sys dev; do mount --rbind "/$tree" "$tree"; done
    mount -t proc proc proc
    mount -t tmpfs tmpfs run
    mkdir -p run/old
    pivot_root . run/old
    umount -l /run/old
    exec /usr/bin/env -i HOME=/root TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        bash -c "set -e; cd /root/pyrunc; $1"
' "$root" "$command"

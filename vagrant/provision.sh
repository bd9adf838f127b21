#!/bin/bash
# Install from the distribution what pyrunc needs: provision.sh [--list] [SET…]
#
# packages.txt has the sets; without a word it is `run`.  --list prints their packages and installs nothing.
# Idempotent, and quiet and quick when nothing is missing.  Used by the Makefile, by Vagrant and by the
# image of the test machine; needs Debian or Ubuntu, and root only if something has to be installed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
only_list=
[ "${1:-}" != --list ] || { only_list=yes && shift; }
sets=("${@:-run}")

known=$(sed 's/#.*//' "$here/packages.txt" | awk 'NF { print $1 }' | sort -u)
for set in "${sets[@]}"; do
    if ! grep -qxF -e "$set" <<<"$known"; then
        echo "provision: cannot install $set: no set of that name" >&2
        echo "hint: one of" $known >&2
        exit 2
    fi
done

wanted() {
    local IFS='|'
    sed 's/#.*//' "$here/packages.txt" | awk -v sets="^(${sets[*]})\$" '$1 ~ sets { print $2 }'
}

if [ -n "$only_list" ]; then
    wanted | sort -u
    exit
fi

missing=()
while read -r package; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done < <(wanted)

[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "provision: cannot install ${missing[*]}: this is neither Debian nor Ubuntu" >&2
    echo "hint: install what these packages hold by hand (vagrant/packages.txt says why each is there)" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "provision: cannot install ${missing[*]}: not root" >&2
    echo "hint: sudo apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "provision: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Services of the peers (docker, containerd) must not start: tests start their own, in private directories.  With this
# systemctl leaves the running systemd alone (systemd, ENVIRONMENT.md).
export SYSTEMD_OFFLINE=1
apt-get -q update
apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}" # a new machine updates itself

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make deb-check: installs, upgrades and purges the package of make deb in a Debian system of its own, and judges what
# tests/deb/inside.sh says in there. Under systemd it is tried by make vm-check.
#
#   tools/deb-check.sh BUILD
#
# BUILD/deb/system.tar, that system without taskflow, is kept. Root's alone: others have no chroot. The last line is
# `N passed, N failed`, with `, 1 skipped` where it could not be tried.
#
#   DEB_MIRROR=URL      where Debian's packages come from
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$1/deb
suite=bookworm
# What the package depends on, and what the checks need.
packages=(jq libsmartcols1 libsqlite3-0 libsystemd0 procps systemd)

say() {
        printf 'deb-check: %s\n' "$*"
}

leave_out() {
        say "left out: $*"
        echo "0 passed, 0 failed, 1 skipped"
        exit
}

make_system() {
        [ ! -f "$out/system.tar" ] || return 0
        say "fetching a Debian system"
        nice mmdebstrap --quiet --variant=minbase --include="$(IFS=, && echo "${packages[*]}")" $suite "$out/unfinished.tar" \
                ${DEB_MIRROR:+"$DEB_MIRROR"} >"$out/system.log" 2>&1 || leave_out "no Debian system: $(tail -n 1 "$out/system.log")"
        mv "$out/unfinished.tar" "$out/system.tar"
}

[ "$(id -u)" -eq 0 ] || leave_out "only root can make a system to install it in"
[ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = $suite ] || leave_out "the package is built for Debian 12 on Debian 12 only"
packages_built=("$1"/taskflow_*_"$(dpkg --print-architecture)".deb)
make_system

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
tar -C "$root" -xpf "$out/system.tar" --exclude='./dev/*'
mkdir "$root/deb"
cp "${packages_built[-1]}" "$root/deb/now.deb"
tools/deb-before.sh "$root/deb/now.deb" "$root/deb/before.deb"
cp tests/deb/inside.sh "$root/deb/"

# Its mounts and processes are gone with it, whatever happens in there.
unshare --mount --pid --fork --kill-child bash -c '
        mount -t proc proc "$1/proc"
        mount -t tmpfs -o mode=755 tmpfs "$1/dev"
        for device in null zero full random urandom tty; do
                touch "$1/dev/$device" && mount --bind "/dev/$device" "$1/dev/$device"
        done
        mkdir "$1/dev/pts" && mount -t devpts devpts "$1/dev/pts" && ln -s pts/ptmx "$1/dev/ptmx"
        exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 bash /deb/inside.sh
' bash "$root" | tee "$out/result.log" || true
cp "$root/deb/log" "$out/inside.log" 2>/dev/null || true

passed=$(grep -c '^ok ' "$out/result.log" || true)
failed=$(grep -c '^not ok ' "$out/result.log" || true)
if ! grep -qx end "$out/result.log"; then
        say "it did not come to its end; see $out/inside.log"
        failed=$((failed + 1))
fi
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]

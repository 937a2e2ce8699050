#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make vm-check: real logouts and real reboots. Builds a Debian 12 with systemd and taskflow in it from Debian's packages,
# boots it in qemu without any help of the processor, and judges what tests/vm/guest.sh says in there.
#
#   tools/vm-check.sh [PART]...       all parts of tests/vm/guest.sh, or those named
#
# Everything is in build-vm/: packages.tar, the Debian system without taskflow, is kept until the list of packages below
# changes; result.log has the guest's lines, console.log the rest. The last line is `N passed, N failed`.
#
#   VM_SECONDS=3600     how long all of it may take in the machine
#   VM_MIRROR=URL       where the packages come from
#   VM_INSTALLED=1      take the taskflow and the package that are already in build-vm
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/sbin:/sbin
out=build-vm
suite=bookworm
packages=(
        # a system with sessions
        dbus
        initramfs-tools
        libpam-systemd
        linux-image-amd64
        openssh-client
        openssh-server
        polkitd
        systemd-sysv
        # what taskflow needs to run
        libinih1
        libjansson4
        libncursesw6
        libsmartcols1
        libsqlite3-0
        libsystemd0
        # what the checks need
        jq
        procps
)

say() {
        printf 'vm-check: %s\n' "$*"
}

fail() {
        say "$*" >&2
        exit 1
}

# The programs are built here and run there.
same_system() {
        [ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = "$suite" ] && [ "$(uname -m)" = x86_64 ]
}

# Others than root need a root of their own for the files' owners.
as_owner() {
        if [ "$(id -u)" -eq 0 ]; then "$@"; else fakeroot -- "$@"; fi
}

make_packages() {
        local wanted

        wanted="$suite ${VM_MIRROR:-} ${packages[*]}"
        [ ! -f $out/packages.tar ] || [ "$(cat $out/packages.list 2>/dev/null)" != "$wanted" ] || return 0
        say "fetching Debian's packages"
        rm -f $out/packages.tar
        nice mmdebstrap --quiet --variant=minbase --include="$(IFS=, && echo "${packages[*]}")" $suite $out/unfinished.tar \
                ${VM_MIRROR:+"$VM_MIRROR"} >$out/packages.log 2>&1 ||
                fail "no Debian system could be made: $(tail -n 3 $out/packages.log)"
        mv $out/unfinished.tar $out/packages.tar
        printf '%s\n' "$wanted" >$out/packages.list
}

install_taskflow() {
        [ -z "${VM_INSTALLED:-}" ] || return 0
        say "building taskflow"
        rm -rf $out/installed
        nice make --no-print-directory install BUILD=$out/build DESTDIR=$out/installed PREFIX=/usr/local >$out/install.log 2>&1 ||
                fail "taskflow could not be built: $(tail -n 3 $out/install.log)"
        nice make --no-print-directory deb BUILD=$out/package >>$out/install.log 2>&1 ||
                fail "its package could not be built: $(tail -n 3 $out/install.log)"
        tools/deb-before.sh $out/package/taskflow_*_amd64.deb $out/package/before.deb
}

# Run by as_owner: one root for unpacking and for the image made of it.
make_image() {
        local root=$out/root

        rm -rf $root
        mkdir $root
        tar -C $root -xpf $out/packages.tar --exclude='./dev/*'
        cp -R --no-preserve=ownership $out/installed/. $root/
        install -D -m 755 tests/vm/guest.sh $root/usr/local/lib/vm-check/guest.sh
        install -m 644 $out/package/taskflow_*_amd64.deb $root/usr/local/lib/vm-check/now.deb
        install -m 644 $out/package/before.deb $root/usr/local/lib/vm-check/
        install -m 644 $out/build/tests/stand-in/libnvidia-ml.so.1 $root/usr/local/lib/vm-check/
        install -m 644 tests/vm/vm-check.service $root/etc/systemd/system/
        mkdir -p $root/etc/systemd/system/multi-user.target.wants
        ln -s ../vm-check.service $root/etc/systemd/system/multi-user.target.wants/
        echo vm >$root/etc/hostname
        echo '127.0.0.1 localhost vm' >$root/etc/hosts
        echo '/dev/vda / ext4 errors=remount-ro 0 1' >$root/etc/fstab
        : >$root/etc/machine-id
        cp $root/boot/vmlinuz-* $out/vmlinuz
        cp $root/boot/initrd.img-* $out/initrd
        rm -f $out/disk.img
        truncate -s 2G $out/disk.img
        mke2fs -q -F -t ext4 -L root -d $root $out/disk.img
        rm -rf $root
}

# Ends when the guest has switched itself off, or at the deadline. A panic ends it too.
boot() {
        : >$out/result.log
        nice timeout --kill-after=10 "${VM_SECONDS:-3600}" qemu-system-x86_64 \
                -accel tcg -machine pc -smp 1 -m 1024 -nodefaults -no-user-config -display none -nic none \
                -drive file=$out/disk.img,format=raw,if=virtio -device virtio-rng-pci \
                -kernel $out/vmlinuz -initrd $out/initrd \
                -append "root=/dev/vda rw console=ttyS0 quiet panic=-1 systemd.show_status=false vm_check=$(IFS=, && echo "$*")" \
                -chardev file,id=console,path=$out/console.log -serial chardev:console \
                -chardev file,id=result,path=$out/result.log -serial chardev:result </dev/null
}

[ "${1:-}" != --image ] || {
        make_image
        exit
}

same_system || fail "it runs on Debian 12 (amd64) only, whose libraries the programs are built with"
mkdir -p $out
make_packages
install_taskflow
say "making the disk"
as_owner "$0" --image
say "booting; the lines of the machine follow"
tail -n +1 -f --pid=$$ $out/result.log &
tail=$!
status=0
boot "$@" || status=$?
sleep 1
kill $tail
wait $tail 2>/dev/null || true

# A serial line ends its lines with a carriage return.
passed=$(tr -d '\r' <$out/result.log | grep -c '^ok ' || true)
failed=$(tr -d '\r' <$out/result.log | grep -c '^not ok ' || true)
if ! tr -d '\r' <$out/result.log | grep -qx 'end'; then
        say "the machine did not come to its end (qemu: status $status); see $out/console.log"
        failed=$((failed + 1))
fi
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]

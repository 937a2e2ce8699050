#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Sees to it that what `make` needs is there.
#
#   tools/setup.sh SECTION...     the sections of packages-debian.txt: build, check, lint, deb, vm
#
# On Debian and Ubuntu it installs missing packages, as root or through sudo; elsewhere it says what
# is missing. When everything is there it does nothing, and starts nothing but dpkg-query.
# TASKFLOW_NO_SETUP=1 makes it leave the machine as it is.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() {
        printf 'taskflow set-up: %s\n' "$*" >&2
}

packages_of() { # SECTION
        awk -v section="[$1]" '/^\[/ { on = ($0 == section); next } on && NF && !/^#/ { print $1 }' \
                "$here/packages-debian.txt"
}

# Those of "$@" that are not installed, one a line. A package may also be provided by another one
# (pkg-config by pkgconf); to ask that costs a call of its own, so only for what is left.
missing_packages() {
        local installed package provided

        installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null | awk '$1 ~ /^[hi]i/ { print $2 }') ||
                true
        provided=""
        for package in "$@"; do
                if grep -qxF -- "$package" <<<"$installed"; then
                        continue
                fi
                if [ -z "$provided" ]; then
                        provided=$(dpkg-query -W -f '${db:Status-Abbrev} ${Provides}\n' | sed -n 's/^ii  *//p' | tr ',' '\n' |
                                sed 's/^ *//; s/ .*//' | sort -u)
                fi
                if ! grep -qxF -- "$package" <<<"$provided"; then
                        printf '%s\n' "$package"
                fi
        done
}

# Newer releases no longer have every one of the lint section (clang-14). All of it is read: a grep that ends at its first
# find may end apt-cache with SIGPIPE, which pipefail takes for a no.
has_candidate() { # PACKAGE
        apt-cache policy "$1" 2>/dev/null | grep '^  Candidate: [^(]' >/dev/null
}

install_packages() { # SECTION PACKAGE...
        local as_root=() section=$1 package wanted=()
        shift

        if [ "$(id -u)" -ne 0 ]; then
                if ! command -v sudo >/dev/null; then
                        say "these packages are missing, and there is no sudo: $*"
                        say "as root: apt-get install --no-install-recommends $*"
                        exit 1
                fi
                as_root=(sudo)
        fi

        for package in "$@"; do
                if ! has_candidate "$package"; then
                        say "fetching the lists of packages"
                        "${as_root[@]}" apt-get -q -o DPkg::Lock::Timeout=300 update >&2
                        break
                fi
        done
        for package in "$@"; do
                if [ "$section" = lint ] && ! has_candidate "$package"; then
                        say "this system has no package $package: what needs it will say so"
                else
                        wanted+=("$package")
                fi
        done
        [ ${#wanted[@]} -gt 0 ] || return 0

        say "installing ${wanted[*]}"
        # The lists may be old and name files that are gone: then once more with new ones.
        run_apt_install "${as_root[@]}" -- "${wanted[@]}" || {
                "${as_root[@]}" apt-get -q -o DPkg::Lock::Timeout=300 update >&2
                run_apt_install "${as_root[@]}" -- "${wanted[@]}"
        }
}

run_apt_install() { # [sudo] -- PACKAGE...
        local as_root=()

        while [ "$1" != -- ]; do
                as_root+=("$1")
                shift
        done
        shift
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" >&2
}

# What the sections stand for where there is no dpkg.
missing_elsewhere() { # SECTION
        local programs=() libraries=() name

        case $1 in
        build)
                programs=(cc meson ninja pkg-config scdoc)
                libraries=(inih jansson libsystemd ncursesw smartcols sqlite3)
                ;;
        check)
                programs=(python3 tmux mandoc ps)
                libraries=(cmocka)
                ;;
        lint)
                programs=(clang-14 clang-format-14 clang-tidy-14 codespell cppcheck valgrind)
                ;;
        deb)
                programs=(dh dpkg-buildpackage fakeroot lintian mmdebstrap)
                ;;
        vm)
                programs=(fakeroot mke2fs mmdebstrap newuidmap qemu-system-x86_64)
                ;;
        esac
        for name in "${programs[@]}"; do
                command -v "$name" >/dev/null || printf 'the program %s\n' "$name"
        done
        for name in "${libraries[@]}"; do
                pkg-config --exists "$name" 2>/dev/null || printf 'the library %s (with its headers)\n' "$name"
        done
        if [ "$1" = build ] && ! printf '#include <uthash.h>\n' | cc -E - >/dev/null 2>&1; then
                printf 'the header uthash.h\n'
        fi
        if [ "$1" = check ] && ! python3 -c 'import pytest' 2>/dev/null; then
                printf 'pytest for python3\n'
        fi
}

[ -z "${TASKFLOW_NO_SETUP:-}" ] || exit 0

for section in "$@"; do
        if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
                mapfile -t wanted < <(packages_of "$section")
                mapfile -t missing < <(missing_packages "${wanted[@]}")
                if [ ${#missing[@]} -gt 0 ]; then
                        install_packages "$section" "${missing[@]}"
                fi
        else
                mapfile -t missing < <(missing_elsewhere "$section")
                if [ ${#missing[@]} -gt 0 ]; then
                        say "missing here (tools/packages-debian.txt has Debian's names for all of it):"
                        printf '  %s\n' "${missing[@]}" >&2
                        exit 1
                fi
        fi
done

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes the package of before, for tests of upgrades: the same files with an older number, as there is no release before the first.
#
#   tools/deb-before.sh NOW.deb BEFORE.deb
set -euo pipefail

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
dpkg-deb -R "$1" "$unpacked/package"
sed -i 's/^Version: .*/Version: 0.0.0-1/' "$unpacked/package/DEBIAN/control"
dpkg-deb --root-owner-group -b "$unpacked/package" "$2" >/dev/null

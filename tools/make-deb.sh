#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make deb: the Debian package in BUILD, from the files of this folder as they are.
#
#   tools/make-deb.sh BUILD
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$1
out=$build/deb

say() {
        printf 'make deb: %s\n' "$*" >&2
}

# What is in the repository, or was in the tarball.
sources() {
        if [ -e .git ]; then
                git ls-files -co --exclude-standard
        else
                find . -path './build*' -prune -o -type f -print
        fi
}

command -v dpkg-buildpackage >/dev/null || {
        say "there is no dpkg-buildpackage here: it needs Debian or Ubuntu"
        exit 1
}
version=$(sed -n "s/^    version: '\(.*\)',/\1/p" meson.build)
debian=$(dpkg-parsechangelog -l dist/debian/changelog -S Version)
rm -rf "$out"
mkdir -p "$out/taskflow-$version"
sources | while read -r file; do if [ -f "$file" ]; then printf '%s\0' "$file"; fi; done |
        xargs -0 cp --parents -t "$out/taskflow-$version"
cp -r dist/debian "$out/taskflow-$version/debian"

(cd "$out/taskflow-$version" && nice dpkg-buildpackage --build=binary --unsigned-changes --unsigned-buildinfo) \
        >"$out/log" 2>&1 || {
        tail -n 30 "$out/log" >&2
        say "it could not be built; all of it is in $out/log"
        exit 1
}
lintian --fail-on error --tag-display-limit 0 "$out"/taskflow_"$debian"_*.deb
mv "$out"/taskflow_"$debian"_*.deb "$out"/taskflow-dbgsym_"$debian"_*.deb "$build"
ls "$build"/taskflow_"$debian"_*.deb

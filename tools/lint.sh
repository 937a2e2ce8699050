#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Every check that reads the sources instead of running them. Each one runs even if one before it
# found something; the status is 0 only if none did.
#
#   tools/lint.sh [STEP]...       all steps, or those named: see the list at the end
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
build=build-lint
failed=()

files() { # PATTERN...
        git ls-files -co --exclude-standard -- "$@" | while read -r file; do
                if [ -f "$file" ]; then printf '%s\n' "$file"; fi
        done
}

# Makes compile_commands.json, from which clang-tidy and cppcheck know the flags.
configure() {
        [ -f $build/build.ninja ] || CC=${CC:-clang-14} meson setup -Dwerror=true $build >/dev/null
}

# Everything compiles with clang too, and without a warning.
step_clang() {
        configure && ninja -C $build -k 0 --quiet
}

# Names the files; `make format` mends them.
step_format() {
        local file bad=0

        for file in $(files 'src/*.[ch]' 'tests/*.[ch]'); do
                clang-format-14 --dry-run -Werror "$file" 2>/dev/null || {
                        printf '%s: not as clang-format-14 has it; make format mends it\n' "$file"
                        bad=1
                }
        done
        return $bad
}

# The analyzer takes most of the time; in the tests it would only find what running them finds.
step_tidy() {
        local bad=0

        configure || return 1
        tidy 'src/*.c' || bad=1
        tidy 'tests/*.c' '--checks=-clang-analyzer-*' || bad=1
        return $bad
}

# One file a process: what clang 14's analyzer remembers of a file may match names of the next by chance.
tidy() { # PATTERN [OPTION]
        files "$1" | grep -F -x -f <(compiled) | xargs -P "$(nproc)" -n 1 clang-tidy-14 -p $build --quiet "${@:2}" \
                2> >(grep -v 'warnings\? generated\.$' >&2)
}

# At most three deep: what a function's first column of 8 and three more make. A keyword further in
# would open a fourth.
step_nesting() {
        ! files 'src/*.[ch]' 'tests/*.[ch]' | xargs grep -nE '^ {32,}(if|for|while|switch|do|else)\b'
}

# The sources that are part of the build, as the repository names them.
compiled() {
        /usr/bin/python3 -c '
import json, os, sys
for entry in json.load(open(sys.argv[1])):
    print(os.path.relpath(os.path.join(entry["directory"], entry["file"])))
' $build/compile_commands.json | sort -u
}

# Not its leak checks, which do not know the cleanup attribute: the sanitizers and valgrind find the
# real ones. Not the tests, whose macros it does not parse. It also gives up on TAKE_PTR() within an
# initialiser, as an error of its own.
step_cppcheck() {
        configure || return 1
        cppcheck --project=$build/compile_commands.json --library=tools/cppcheck.cfg --file-filter='src/*' \
                --enable=warning,performance,portability --inline-suppr --suppress=missingIncludeSystem \
                --suppress=internalAstError --suppress=memleak --suppress=resourceLeak --error-exitcode=1 -q -j "$(nproc)"
}

step_layers() {
        tools/check-layers.py src
}

# What a program prints is compared with the manual by `make check`; here it is only the pages.
step_man() {
        local page

        files 'man/*.scd' | while read -r page; do
                scdoc <"$page" | mandoc -T lint -W error || printf '%s\n' "$page"
        done | { ! grep .; }
}

step_spelling() {
        files '*.md' '*.scd' 'src/*' 'tests/*.[ch]' 'tests/*.py' 'tools/*' 'dist/*' |
                xargs codespell --ignore-words tools/codespell-ignore.txt
}

step_scripts() {
        local file bad=0

        for file in $(files 'tools/*.sh' '.ci/*' 'dist/*.sh' 'tests/*.sh'); do
                bash -n "$file" || bad=1
        done
        for file in $(files '*.py'); do
                /usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$file" || bad=1
        done
        return $bad
}

# The packages are of the version that the programs print.
step_versions() {
        local version

        version=$(sed -n "s/^    version: '\(.*\)',/\1/p" meson.build)
        [ "$(sed -n '1s/taskflow (\(.*\)-.*/\1/p' dist/debian/changelog)" = "$version" ] &&
                [ "$(sed -n 's/^pkgver=//p' dist/PKGBUILD)" = "$version" ] || {
                printf 'dist/debian/changelog or dist/PKGBUILD is not of version %s\n' "$version"
                return 1
        }
}

# The rest of what .editorconfig asks for.
step_whitespace() {
        local found

        found=$(files | grep -v '^tests/fuzz/corpus/\|^tests/data/\|^LICENSE$\|\.svg$\|\.png$' | xargs grep -nIE '[[:blank:]]+$')
        [ -z "$found" ] || {
                printf '%s\n' "$found" | head -20
                return 1
        }
}

steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(clang format nesting layers man scripts versions whitespace spelling cppcheck tidy)
for step in "${steps[@]}"; do
        if "step_$step"; then
                printf 'lint: %s: fine\n' "$step"
        else
                printf 'lint: %s: FOUND SOMETHING\n' "$step"
                failed+=("$step")
        fi
done
[ ${#failed[@]} -eq 0 ] || {
        printf 'lint: look at %s\n' "${failed[*]}" >&2
        exit 1
}

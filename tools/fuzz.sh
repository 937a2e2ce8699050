#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs each fuzzer of a build with -Dfuzz=true for some time.
#
#   tools/fuzz.sh BUILD SECONDS
#
# What it learns is kept in BUILD/corpus; a sample that breaks something is left in BUILD, and is a
# test once it is copied into tests/fuzz/corpus/.
set -euo pipefail

build=$1
seconds=$2
failed=0

for fuzzer in "$build"/tests/fuzz/fuzz-*; do
        [ -f "$fuzzer" ] && [ -x "$fuzzer" ] || continue
        name=${fuzzer##*/fuzz-}
        mkdir -p "$build/corpus/$name"
        printf '%s: %s s\n' "$name" "$seconds"
        if ! "$fuzzer" -max_total_time="$seconds" -timeout=10 -print_final_stats=1 -verbosity=1 \
                -artifact_prefix="$build/$name-" "$build/corpus/$name" "tests/fuzz/corpus/$name" \
                >"$build/$name.log" 2>&1; then
                tail -n 40 "$build/$name.log"
                printf '%s: FAILED, see %s\n' "$name" "$build/$name.log"
                failed=1
        else
                grep '^stat::number_of_executed_units' "$build/$name.log" || true
        fi
done
exit "$failed"

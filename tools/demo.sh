#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make demo: a first look at taskflow, with real tasks. A program takes some RAM, a task that needs that RAM waits, the
# program ends, the task starts. All of it happens in a folder of its own, with a home of its own in it, and nothing of
# it stays: neither file nor process.
#
#     [BUILD=build] tools/demo.sh [BUILD]        the folder with the programs

set -eu

build=$(cd "${1:-${BUILD:-build}}" && pwd)
taskflow=$build/taskflow
hold=$build/tests/stand-in/hold
for program in "$taskflow" "$build/taskflowd" "$hold"; do
        if [ ! -x "$program" ]; then
                echo "demo: $program is not there: build it first (make)" >&2
                exit 1
        fi
done

home=$(mktemp -d /tmp/taskflow-demo.XXXXXX)

# Everything that is started below has this folder for its home, and is found by that.
ours() {
        # with another home for these two, so that they do not find themselves
        HOME=/ grep -lzxF "HOME=$home" /proc/[0-9]*/environ 2>/dev/null | HOME=/ cut -d / -f 3
}

clean() {
        trap - EXIT
        trap "" INT TERM HUP PIPE
        for signal in TERM KILL; do
                tries=0
                pids=$(ours)
                while [ -n "$pids" ] && [ "$tries" -lt 30 ]; do
                        # shellcheck disable=SC2086 # several words are meant
                        kill -s "$signal" $pids 2>/dev/null || :
                        sleep 0.1
                        tries=$((tries + 1))
                        pids=$(ours)
                done
        done
        rm -rf "$home"
}

interrupted() {
        clean
        trap - "$1"
        kill -s "$1" $$
}

trap clean EXIT
for signal in INT TERM HUP PIPE; do
        # shellcheck disable=SC2064 # the name of today is meant
        trap "interrupted $signal" "$signal"
done

export HOME="$home"
unset XDG_RUNTIME_DIR XDG_STATE_HOME XDG_CONFIG_HOME TASKFLOW_SOCKET TASKFLOW_TASK_ID

say() {
        printf '\n%s\n' "$*"
}

# Shows a command as one would type it, and runs it.
show() {
        printf '    $ taskflow'
        for word in "$@"; do
                case $word in
                *[!A-Za-z0-9.:/=_-]*) printf " '%s'" "$word" ;;
                *) printf ' %s' "$word" ;;
                esac
        done
        printf '\n'
        "$taskflow" "$@" 2>&1 | sed 's/^/    /'
}

fail() {
        printf '\ndemo: %s\n' "$*" >&2
        exit 1
}

# Waits for a command to succeed, ten times a second, SECONDS at most.
until_true() {
        tries=$(($1 * 10))
        shift
        until "$@"; do
                tries=$((tries - 1))
                [ "$tries" -gt 0 ] || return 1
                sleep 0.1
        done
}

free_bytes() {
        "$taskflow" status --json | tr -d ' \n' | sed -n 's/.*"memory":{[^}]*"free_bytes":\([0-9]*\).*/\1/p'
}

waits() {
        [ -n "$("$taskflow" ps -p -q)" ]
}

if [ -d /run/taskflow ]; then
        # The machine has a daemon, which is none of the demo's business.
        export TASKFLOW_SOCKET="$home/socket"
        "$build/taskflowd" --socket "$TASKFLOW_SOCKET" --state "$home/state" 2>"$home/log" &
        until_true 10 test -S "$TASKFLOW_SOCKET" || fail "taskflowd did not start: $(cat "$home/log")"
fi

echo "This is taskflow. Everything happens in $home, and nothing of it stays."

say "1. A task says what it needs. There is room, so it starts at once, in your own shell, and its status is yours:"
# shellcheck disable=SC2016 # for the shell of the task
show run -m 100M 'echo "Hello from task $TASKFLOW_TASK_ID"'
echo "    $ taskflow run -m 100M 'exit 7'; echo \$?"
status=0
"$taskflow" run -q -m 100M 'exit 7' || status=$?
echo "    $status"
[ "$status" -eq 7 ] || fail "a task that ended with 7 gave $status"

free=$(free_bytes)
[ -n "$free" ] || fail "taskflow status did not say how much RAM is free"
taken=$((free / 4))
[ "$taken" -le 1073741824 ] || taken=1073741824
asked=$(((free - taken / 2) / 1048576))

say "2. Now a program that knows nothing of taskflow takes $((taken / 1048576)) MiB of RAM ..."
"$hold" ram "$taken" touch "$home/taken" &
holder=$!
until_true 20 test -e "$home/taken" || fail "the memory could not be taken"

say "... so that a task which needs ${asked} MiB has to wait:"
printf "    \$ taskflow run -m %sM -d 0 'echo \"Now there is room for me\"' &\n" "$asked"
"$taskflow" run -m "${asked}M" -d 0 -w 60s 'echo "Now there is room for me"' >"$home/out" 2>"$home/err" &
task=$!
until_true 10 waits || fail "it did not wait: $(cat "$home/out" "$home/err")"
show ps
show why "$("$taskflow" ps -p -q)"

say "3. The program ends, and the task starts by itself:"
kill "$holder"
status=0
wait "$task" || status=$?
sed 's/^/    /' "$home/out"
[ "$status" -eq 0 ] || fail "the task ended with $status: $(cat "$home/err")"
grep -qx 'Now there is room for me' "$home/out" || fail "the task printed something else"
show ps -a

say "That was all. Next: $taskflow --help"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Completes words as bash would, with the script that taskflow prints. $1: taskflow; prints TAP.
set -u

taskflow=$1
n=0
# Ids come from the queue; here it always has the same ones.
taskflow() { printf '%s\n' 12 13 130; }

tap() { # STATUS NAME [GOT]
        n=$((n + 1))
        if [ "$1" = 0 ]; then printf 'ok %d - %s\n' $n "$2"; else printf 'not ok %d - %s\n# %s\n' $n "$2" "${3-}"; fi
}

script=$("$taskflow" completion bash) || {
        echo "Bail out! no script"
        exit 1
}
bash -n <<<"$script"
tap $? "it is bash"
eval "$script"
compopt() { printf 'compopt %s\n' "$*" >>"$asked"; } # outside a real completion there is none
asked=$(mktemp)
trap 'rm -f "$asked"' EXIT

# The words are those that readline makes of a line: '=' and ':' are words of their own.
complete_words() { # WORD...; the last one is being typed
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        COMPREPLY=()
        : >"$asked"
        _taskflow
}

same() { # NAME WANTED WORD...
        local name=$1 wanted=$2
        shift 2
        complete_words "$@"
        [ "${COMPREPLY[*]-}" = "$wanted" ]
        tap $? "$name" "'${COMPREPLY[*]-}', not '$wanted'"
}

has() { # NAME WANTED WORD...
        local name=$1 wanted=$2
        shift 2
        complete_words "$@"
        [[ " ${COMPREPLY[*]-} " == *" $wanted "* ]]
        tap $? "$name" "'${COMPREPLY[*]-}' lacks '$wanted'"
}

same "commands" "cancel" taskflow can
has "all commands" "run" taskflow ''
same "what is not there yet is not offered" "" taskflow top
same "long options of the program" "--version" taskflow --v
same "options of a command" "--json" taskflow ps --j
has "short options too" "-q" taskflow ps -
same "ids" "12 13 130" taskflow cancel ''
same "ids by their beginning" "13 130" taskflow show 13
same "more ids" "12 13 130" taskflow hold 12 ''
same "words of an argument" "TERM" taskflow cancel -s T
same "and behind the long name" "INT" taskflow cancel --signal I
same "also with an equals sign" "INT" taskflow cancel --signal = I
has "also right behind the equals sign" "KILL" taskflow cancel --signal =
same "nobody can guess a size" "" taskflow run -m ''
same "priorities" "high" taskflow run -p h
has "GPUs" "any" taskflow run --gpu a
has "users" "root" taskflow ps -u roo
same "commands for help" "version" taskflow help vers
same "no operand of metrics" "" taskflow metrics x
same "options of doctor" "--json" taskflow doctor --j
same "what is said to an agent" "stop" taskflow agent sto
has "options of submit" "--array" taskflow submit --arr
same "tasks to wait for" "12 13 130" taskflow run --after ''
same "shells" "fish" taskflow completion f
has "options of run before its command" "--dry-run" taskflow run -m 5G --dry
has "the command itself" "bash" taskflow run -m 5G bas
has "and behind --" "bash" taskflow run -q -- bas
has "and behind a GPU with a size" "bash" taskflow run --gpu any : 10G bas
has "and behind an attached argument" "bash" taskflow run --memory = 5G -t10m bas

complete_words taskflow run ls --al
[ "${COMPREPLY[*]-}" = "" ] && grep -q default "$asked"
tap $? "behind the command its own words are completed" "${COMPREPLY[*]-}"
complete_words taskflow run -f ''
grep -q default "$asked"
tap $? "files"
complete_words taskflow submit ''
grep -q default "$asked"
tap $? "a file of lines"

# As the bash-completion package would have it.
_command_offset() { offset=$1; }
offset=
complete_words taskflow run --gpu any : 10G -q make a
[ "$offset" = 7 ]
tap $? "the command's own completion is asked" "offset '$offset'"

printf '1..%d\n' $n

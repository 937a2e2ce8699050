#!/usr/bin/env fish
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Completes words as fish would, with the script that taskflow prints. argv[1]: taskflow; prints TAP.

set -g taskflow $argv[1]
set -g n 0
set -gx HOME (mktemp -d)
set -gx XDG_CONFIG_HOME $HOME
$taskflow completion fish >$HOME/script.fish
or begin
    echo 'Bail out! no script'
    exit 1
end
source $HOME/script.fish

# Ids come from the queue; here it always has the same ones.
function taskflow
    printf '%s\n' 12 13 130
end

function tap -a name wanted line
    set -g n (math $n + 1)
    set -l got (complete -C "$line" | string replace -r '\t.*' '')
    if contains -- "$wanted" $got; or test -z "$wanted" -a -z "$got"
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        echo "# '$got' lacks '$wanted'"
    end
end

tap commands cancel 'taskflow can'
tap 'what is not there yet is not offered' '' 'taskflow dra'
tap 'options of the program' --version 'taskflow --ver'
tap 'options of a command' --json 'taskflow ps --j'
tap 'options of another command are not mixed in' '' 'taskflow cancel --j'
tap ids 13 'taskflow cancel 1'
tap 'words of an argument' INT 'taskflow cancel -s I'
tap 'also with an equals sign' --signal=INT 'taskflow cancel --signal=I'
tap priorities high 'taskflow run -p h'
tap users root 'taskflow ps -u roo'
tap 'commands for help' version 'taskflow help vers'
tap shells zsh 'taskflow completion z'
tap 'options of run' --dry-run 'taskflow run -m 5G --dry'
tap 'the command itself' bash 'taskflow run -m 5G bas'

echo "1..$n"
rm -rf $HOME

#!/usr/bin/env zsh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Types words and TAB into a zsh on a terminal of its own. $1: taskflow; prints TAP.

zmodload zsh/zpty
n=0
HOME=$(mktemp -d)
taskflow=$1
$taskflow completion zsh >$HOME/_taskflow || { print 'Bail out! no script'; exit 1 }

# Ids come from the queue; here it always has the same ones. ^X shows what stands on the line.
cat >$HOME/.zshrc <<'RC'
PROMPT=
fpath=($HOME $fpath)
autoload -Uz compinit
compinit -D -u
taskflow() { print -l 12 13 }
show() { print -r -- "<<$BUFFER>>"; BUFFER= }
zle -N show
bindkey '^X' show
bindkey '^I' complete-word
setopt no_beep no_list_beep
unsetopt auto_menu list_ambiguous
print ready
RC

tap() { # NAME WANTED LINE
        local got
        (( n++ ))
        zpty -w -n shell "$3"$'\t\x18'
        zpty -r -m shell got '*<<*>>*' || got='no answer'
        got=${${got##*'<<'}%%'>>'*}
        if [[ $got == "$2" ]]; then
                print -r -- "ok $n - $1"
        else
                print -r -- "not ok $n - $1"
                print -r -- "# '$got', not '$2'"
        fi
}

zpty shell "HOME=$HOME ZDOTDIR=$HOME TERM=dumb zsh -i"
zpty -r -m shell line '*ready*'

tap 'commands' 'taskflow cancel ' 'taskflow can'
tap 'what is not there yet is not offered' 'taskflow dra' 'taskflow dra'
tap 'options of a command' 'taskflow ps --json ' 'taskflow ps --js'
tap 'ids' 'taskflow cancel 1' 'taskflow cancel '
tap 'words of an argument' 'taskflow cancel -s INT ' 'taskflow cancel -s I'
tap 'also with an equals sign' 'taskflow cancel --signal=INT ' 'taskflow cancel --signal=I'
tap 'priorities' 'taskflow run -p high ' 'taskflow run -p h'
tap 'users' 'taskflow ps -u root ' 'taskflow ps -u roo'
tap 'commands for help' 'taskflow help version ' 'taskflow help vers'
tap 'shells' 'taskflow completion zsh ' 'taskflow completion z'
tap 'options of run' 'taskflow run -m 5G --dry-run ' 'taskflow run -m 5G --dr'
tap 'an option that may be repeated' 'taskflow run --gpu 0 --gpu=' 'taskflow run --gpu 0 --gp'
tap 'the command itself' 'taskflow run -m 5G mkfifo ' 'taskflow run -m 5G mkfif'

print "1..$n"
zpty -d shell
rm -rf $HOME

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs in the Debian system that tools/deb-check.sh makes, as root, with the package of before and the one of now: installs, upgrades,
# removes and purges it, and says what it found: `ok NAME`, `not ok NAME`, at the very end `end`. There is no systemd at work.
set -uo pipefail

before=/deb/before.deb
now=/deb/now.deb
log=/deb/log

expect() { # NAME COMMAND...
        local name=$1

        shift
        if "$@" >>$log 2>&1; then
                echo "ok $name"
        else
                echo "not ok $name (this does not hold: $*)"
        fi
}

eventually() { # COMMAND...: within half a minute
        local deadline=$((SECONDS + 30))

        until "$@"; do
                [ $SECONDS -lt $deadline ] || return 1
                sleep 0.1
        done
}

not() {
        ! "$@"
}

is() { # WHAT IT-SHOULD-BE COMMAND...
        local wanted=$1 shown

        shift
        shown=$("$@" 2>&1 | xargs)
        echo "$* prints '$shown'"
        [ "$shown" = "$wanted" ]
}

as() { # USER COMMAND...
        runuser -u "$1" -- env HOME="/home/$1" "${@:2}"
}

# What a package could leave anywhere: files, folders and links with their owners, and users and groups.
inventory() {
        find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /deb -o -path /var/log -o -path /var/cache \
                -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /home \) -prune -o -printf '%p %U %G %m\n' | sort
        getent passwd
        getent group
}

serve() {
        chown taskflow /run/taskflow
        runuser -u taskflow -- taskflowd >>$log 2>&1 &
        server=$!
        eventually answers || return 1
}

answers() {
        as alice taskflow ps
}

state_of() { # ID
        as alice taskflow show "$1" --json | jq -r .state
}

in_list() { # GROUP USER
        id -nG "$2" | tr ' ' '\n' | grep -qx "$1"
}

install_before() {
        expect "install: apt takes the file" apt-get install -y $before
        expect "install: the user is there, without a shell" is "taskflow:/var/lib/taskflow:/usr/sbin/nologin" \
                sh -c 'getent passwd taskflow | cut -d: -f1,6,7'
        expect "install: who may look at GPUs" in_list video taskflow
        expect "install: of either kind" in_list render taskflow
        expect "install: who has no password" is "!*" sh -c 'cut -d: -f1,2 /etc/shadow | sed -n s/^taskflow://p'
        expect "install: the machine has one queue" is "root root 755" stat -c '%U %G %a' /run/taskflow
        expect "install: the state is private" is "taskflow taskflow 700" stat -c '%U %G %a' /var/lib/taskflow
        expect "install: the settings are right" is "the settings are right: /etc/taskflow/taskflow.conf" taskflowd --check-config
        expect "install: systemd will listen" test -L /etc/systemd/system/sockets.target.wants/taskflowd.socket
        expect "install: and serve" test -L /etc/systemd/system/multi-user.target.wants/taskflowd.service
        expect "install: nobody's agent is enabled for them" is "" find /etc/systemd/user -name 'taskflow*'
        expect "install: while nobody serves, run says 125" is 125 sh -c 'runuser -u alice -- taskflow run true 2>/dev/null; echo $?'
}

use() {
        expect "use: it is served" serve
        expect "use: a task runs" is "went" as alice taskflow run echo went
        # One that runs, and one that waits for its core, through all that follows.
        mkfifo -m 666 /tmp/gate
        running=$(as alice taskflow run -D -c "$(nproc)" 'read x </tmp/gate')
        waiting=$(as alice taskflow run -D -c 1 true)
        expect "use: one runs" eventually is running state_of "$running"
        expect "use: one waits" is pending state_of "$waiting"
}

# Two people, one queue, and nobody named a socket.
share() {
        expect "share: bob sees what alice has" is "$running alice running $waiting alice pending" \
                sh -c 'runuser -u bob -- taskflow ps --json | jq -r ".tasks[] | [.id, .user, .state] | @tsv"'
        as bob taskflow run -n bobs -c 1 id -un >/tmp/bobs 2>>$log &
        bobs=$!
        expect "share: bob's task waits in the same queue" eventually is "bob pending" \
                sh -c 'runuser -u alice -- taskflow ps --json | jq -r ".tasks[] | select(.name == \"bobs\") | [.user, .state] | @tsv"'
        expect "share: for alice's" sh -c 'runuser -u bob -- taskflow ps --json | jq -r ".tasks[] | select(.name == \"bobs\") | .reason" | grep alice'
        expect "share: bob may not end hers" is 1 sh -c "runuser -u bob -- taskflow cancel $running >/dev/null 2>&1; echo \$?"
        expect "share: hers runs" is running state_of "$running"
}

upgrade() {
        sed -i 's/^#history_days.*/history_days = 7/' /etc/taskflow/taskflow.conf
        chown root /run/taskflow
        expect "upgrade: it succeeds" dpkg --force-confold -i $now
        expect "upgrade: the running task runs" is running state_of "$running"
        kill -TERM $server
        wait $server
        expect "upgrade: the new version serves" serve
        expect "upgrade: the running task ran on" is running state_of "$running"
        expect "upgrade: the waiting one waits" is pending state_of "$waiting"
        expect "upgrade: changed settings are kept" grep -qx 'history_days = 7' /etc/taskflow/taskflow.conf
        expect "upgrade: the running one can be let go" timeout 30 sh -c 'echo >/tmp/gate'
        expect "upgrade: both come to their ends" as alice taskflow wait -t 30 "$running" "$waiting"
        expect "share: bob's ran when hers was over, as bob" eventually is bob cat /tmp/bobs
        expect "share: and bob knows" wait $bobs
        expect "upgrade: the first task of before is known" is "done" state_of 1
}

remove() {
        kill -TERM $server
        wait $server
        expect "remove: it succeeds" dpkg -r taskflow
        expect "remove: users may have queues of their own again" not test -e /run/taskflow
        expect "remove: the state is kept" test -s /var/lib/taskflow/taskflow.db
        expect "remove: the settings are kept" test -s /etc/taskflow/taskflow.conf
        expect "remove: the programs are gone" not command -v taskflow
        expect "again: it can be installed" dpkg -i $now
        expect "again: what was is known" serve
        expect "again: so it is" is "done" state_of 1
        kill -TERM $server
        wait $server
}

purge() {
        expect "purge: it succeeds" dpkg -P taskflow
        inventory >/deb/after
        expect "purge: nothing is left" diff /deb/was /deb/after
}

export DEBIAN_FRONTEND=noninteractive
useradd -m alice
useradd -m bob
# Whoever installs the first package that has them makes these.
for group in video render; do
        getent group $group >/dev/null || groupadd --system $group
done
inventory >/deb/was
install_before
use
share
upgrade
remove
purge
echo end

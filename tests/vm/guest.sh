#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs in the machine of make vm-check, as root, once after each boot: people log in through ssh, leave tasks behind, log
# out, and the machine goes down under them. Says on the second serial line what it found: `ok NAME`, `not ok NAME: why`,
# at the very end `end`.
#
# A step is a function. The number of the next one is on the disk before a step begins, so that the steps go on after a
# reboot that one of them makes. vm_check=PART,... on the kernel's command line names the parts to do.
set -uo pipefail

state=/var/lib/vm-check
run=/run/vm-check
steps=(
        prepare:always
        control:control
        sessions:sessions
        go_down:reboot
        come_back:reboot
        crash:crash
        come_back:crash
        machine:machine
        machine_sessions:machine
        go_down:machine
        come_back:machine
        finish:always
)

# ---- what it says

say() {
        printf '%s\n' "$*" >/dev/ttyS1
}

note() {
        printf 'vm-check: %s s: %s\n' "$(cut -d' ' -f1 /proc/uptime)" "$*" >/dev/ttyS0
}

# expect NAME COMMAND...: it holds if the command succeeds now.
expect() {
        local name=$1

        shift
        got=""
        if "$@"; then
                say "ok $name"
        else
                say "not ok $name: $(explain "$@")"
                show_all
        fi
}

explain() { # COMMAND...
        printf '%s' "this does not hold: $*"
        [ -z "$got" ] || printf ' (%s)' "$(tr '\n' ' ' <<<"$got" | cut -c -300)"
}

show_all() {
        {
                echo "---- processes and sessions"
                ps -N --ppid 2 -o pid,ppid,sid,user,stat,unit,uunit,args
                loginctl list-sessions
                echo "---- the last list"
                jq -M -c '.tasks[] | [.id, .name, .state, .reason]' $run/list
                echo "---- what programs said"
                head -n 50 /home/*/*.said
                tail -n 20 /home/*/.local/state/taskflow/*.log
                echo "---- the journal"
                journalctl -b -n 40 --no-pager
        } >/dev/ttyS0 2>&1
}

# eventually SECONDS COMMAND...
eventually() {
        local deadline=$((SECONDS + $1))

        shift
        until "$@"; do
                [ "$SECONDS" -lt "$deadline" ] || return 1
                sleep 0.5
        done
}

is() { # WHAT IT-SHOULD-BE COMMAND...: whether the command prints just that; lines count as words
        local wanted=$1 shown

        shift
        shown=$("$@" 2>&1 | xargs)
        got="it prints '$shown'"
        [ "$shown" = "$wanted" ]
}

not() {
        ! "$@"
}

# ---- people and their sessions

# as USER LINE: a short visit, without a terminal.
as() {
        ssh -n -i $state/key -o BatchMode=yes -o ConnectTimeout=60 "$1@localhost" "$2"
}

# enter USER: logs in at a terminal. One session a user.
enter() {
        rm -f $run/"$1".typed
        mkfifo $run/"$1".typed
        ssh -tt -i $state/key -o BatchMode=yes -o ConnectTimeout=60 "$1@localhost" \
                <$run/"$1".typed >/home/"$1"/session 2>&1 &
        client=$!
        exec 9>$run/"$1".typed
        # The echo of the terminal has the quotes, the answer has not.
        type_line 'echo session"="$XDG_SESSION_ID="" >session.id'
        eventually 60 test -s /home/"$1"/session.id || note "$1 cannot log in"
        session=$(cut -d= -f2 /home/"$1"/session.id)
        rm -f /home/"$1"/session.id
}

type_line() {
        printf '%s\n' "$1" >&9
}

# at_terminal USER LINE: types it and waits until the shell is through with it.
at_terminal() {
        rm -f /home/"$1"/typed
        type_line "$2; : >~/typed"
        eventually 120 test -e /home/"$1"/typed || note "$1's terminal does not answer to: $2"
}

# leave exit|close: logs out in order, or the window is closed and the connection with it.
leave() {
        case $1 in
        exit) type_line exit ;;
        close) kill -KILL "$client" ;;
        esac
        exec 9>&-
        wait "$client" 2>/dev/null
}

# A session whose processes were left alone is still listed, as closing.
session_is_over() {
        case $(loginctl show-session "$session" -p State --value 2>/dev/null) in
        '' | closing) return 0 ;;
        *) return 1 ;;
        esac
}

nobody_is_logged_in() { # USER
        ! pgrep -u "$1" -x sshd >/dev/null && ! pgrep -u "$1" -x bash >/dev/null
}

manager_runs() { # USER
        systemctl is-active --quiet user@"$(id -u "$1")".service
}

# set_logind KILL USER LINGER: how the machine treats the user's next logout.
set_logind() {
        mkdir -p /etc/systemd/logind.conf.d
        printf '[Login]\nKillUserProcesses=%s\n' "$1" >/etc/systemd/logind.conf.d/vm-check.conf
        systemctl restart systemd-logind
        if [ "$3" = yes ]; then loginctl enable-linger "$2"; else loginctl disable-linger "$2"; fi
}

# As if the user had never been here.
fresh() {
        rm -f $run/go."$1"
        loginctl disable-linger "$1"
        loginctl terminate-user "$1" 2>/dev/null
        systemctl stop user@"$(id -u "$1")".service
        pkill -KILL -u "$1"
        eventually 30 not pgrep -u "$1" >/dev/null || note "$1's processes do not end"
        find /home/"$1" -mindepth 1 -not -path '*/.ssh*' -delete
        if [ -d /run/taskflow ]; then
                systemctl stop taskflowd
                rm -rf /var/lib/taskflow/*
                systemctl start taskflowd
        fi
}

alive() { # USER NAME
        local pid boot

        read -r pid boot 2>/dev/null </home/"$1"/"$2".pid && [ "$boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] &&
                kill -0 "$pid" 2>/dev/null
}

both_run() { # USER NAME NAME
        alive "$1" "$2" && alive "$1" "$3"
}

# ---- tasks, seen by their user's commands

# queue USER NAME [OPTION]...: by a command typed at the terminal. NAME.id and NAME.said are what it printed.
queue() {
        at_terminal "$1" "taskflow run -D -n $2 ${*:3} vm-task $2 >$2.id 2>$2.said"
}

# What it was last told is kept for show_all.
list() { # USER PS-OPTIONS
        as "$1" "taskflow ps $2 --json" | tee $run/list
}

names() { # USER PS-OPTIONS: the names, in the order shown
        list "$1" "$2" | jq -r '.tasks[].name'
}

state_of() { # USER NAME
        list "$1" -a | jq -r --arg name "$2" '.tasks[] | select(.name == $name) | .state'
}

reason_of() { # USER NAME
        list "$1" -a | jq -r --arg name "$2" '.tasks[] | select(.name == $name) | .reason // ""'
}

order() { # USER: the tasks that came to their end, in that order
        cat /home/"$1"/order
}

has_ended() { # USER NAME
        grep -qx "$2" /home/"$1"/order 2>/dev/null
}

lines_about_logout() { # USER NAME
        grep -c 'taskflow agent enable' /home/"$1"/"$2".said
}

printed_id() { # USER NAME: its id alone
        grep -qxE '[0-9]+' /home/"$1"/"$2".id && [ "$(wc -l </home/"$1"/"$2".id)" -eq 1 ]
}

# ---- steps

prepare() {
        local user

        # Says who it is and waits to be told to end.
        cat >/usr/local/bin/vm-task <<'TASK'
#!/bin/sh
echo $$ "$(cat /proc/sys/kernel/random/boot_id)" >~/"$1.pid"
until [ -e "/run/vm-check/go.$(id -un)" ]; do sleep 0.5; done
echo "$1" >>~/order
TASK
        chmod 755 /usr/local/bin/vm-task
        ssh-keygen -q -t ed25519 -N '' -f $state/key
        for user in alice bob; do
                useradd -m -s /bin/bash $user
                install -d -m 700 -o $user -g $user /home/$user/.ssh
                install -m 600 -o $user -g $user $state/key.pub /home/$user/.ssh/authorized_keys
        done
        mkdir -p /root/.ssh
        ssh-keyscan localhost >/root/.ssh/known_hosts 2>/dev/null
        expect "the machine is up, with nothing failed" is running systemctl is-system-running --wait
        expect "taskflow runs here" is hello as alice 'taskflow run -q echo hello'
}

# Without taskflow: are these the logouts that the other steps need?
control() {
        local kill linger name

        for kill in no yes; do
                for linger in no yes; do
                        name="control: KillUserProcesses=$kill, linger $linger"
                        fresh alice
                        set_logind $kill alice $linger
                        enter alice
                        expect "$name: a login is a session of logind" \
                                is alice loginctl show-session "$session" -p Name --value
                        at_terminal alice 'setsid vm-task plain & systemd-run --user --quiet vm-task manager'
                        expect "$name: two processes run" eventually 60 both_run alice plain manager
                        control_logout "$name" $kill $linger
                done
        done
        fresh alice
}

control_logout() { # NAME KILL LINGER
        leave close
        expect "$1: the session is over" eventually 30 session_is_over
        if [ "$2" = yes ]; then
                expect "$1: a process of the session has ended" eventually 30 not alive alice plain
        fi
        if [ "$2-$3" = yes-no ]; then
                expect "$1: the user's manager has ended" eventually 60 not manager_runs alice
                expect "$1: and what it ran" not alive alice manager
                return
        fi
        # What logind ends, it ends within 10 s of the logout.
        sleep 15
        if [ "$2" = no ]; then
                expect "$1: a process of the session lives on" alive alice plain
        fi
        if [ "$3" = yes ]; then
                expect "$1: what the user's manager runs lives on" alive alice manager
        fi
}

sessions() {
        outlives_logout no no exit
        outlives_logout no no close
        outlives_logout no yes close
        outlives_logout yes yes close
        ends_at_logout
        lives_once_enabled
}

# The terminal, its logins and two detached tasks, of which the second waits for the first one's core.
two_tasks() { # NAME
        enter alice
        queue alice first -c 1
        queue alice second -c 1
        expect "$1: run -D prints the id alone" printed_id alice first
        expect "$1: the first task runs" eventually 60 alive alice first
        expect "$1: the second one waits" is pending state_of alice second
}

outlives_logout() { # KILL LINGER exit|close
        local name="KillUserProcesses=$1, linger $2, $3"

        fresh alice
        set_logind "$1" alice "$2"
        two_tasks "$name"
        expect "$name: run -D says nothing about logout" is 0 lines_about_logout alice first
        leave "$3"
        check_outlived "$name"
}

check_outlived() { # NAME
        expect "$1: the session is over" eventually 30 session_is_over
        expect "$1: nobody is logged in" eventually 30 nobody_is_logged_in alice
        # What logind ends, it ends within 10 s of the logout.
        sleep 15
        expect "$1: the task runs on after the logout" alive alice first
        touch $run/go.alice
        expect "$1: it comes to its end, then the other one starts and ends" eventually 60 has_ended alice second
        expect "$1: in this order" is "first second" order alice
        expect "$1: all of it with nobody logged in" nobody_is_logged_in alice
        expect "$1: the first is done" is "done" state_of alice first
        expect "$1: so is the second" eventually 30 is "done" state_of alice second
        expect "$1: wait has their status" as alice 'taskflow wait $(cat first.id second.id)'
        expect "$1: logs has their output" as alice 'taskflow logs $(cat first.id)'
}

# Nothing of hers may outlive her: so it is said, and told afterwards as it was.
ends_at_logout() {
        local name="KillUserProcesses=yes, linger no, close"

        fresh alice
        set_logind yes alice no
        two_tasks "$name"
        expect "$name: run -D says in one line that the task ends at logout" is 1 lines_about_logout alice first
        leave close
        expect "$name: the session is over" eventually 30 session_is_over
        expect "$name: the task has ended" eventually 60 not alive alice first
        expect "$name: the user's manager has ended" eventually 60 not manager_runs alice
        expect "$name: nothing of hers is left" eventually 30 not pgrep -u alice
        enter alice
        touch $run/go.alice
        at_terminal alice 'taskflow wait $(cat second.id)'
        expect "$name: after the next login the first is lost" is lost state_of alice first
        expect "$name: with a reason" not is "" reason_of alice first
        expect "$name: and the second, which had waited, is done" is "done" state_of alice second
        expect "$name: the first was not run again" is second order alice
        leave exit
}

# What that line recommends.
lives_once_enabled() {
        local name="KillUserProcesses=yes, agent enable --linger"

        fresh alice
        set_logind yes alice no
        enter alice
        at_terminal alice 'taskflow agent enable --linger >enable.said 2>&1; echo $? >enable.status'
        expect "$name: it succeeds" is 0 cat /home/alice/enable.status
        expect "$name: linger is set" test -e /var/lib/systemd/linger/alice
        leave exit
        two_tasks "$name"
        expect "$name: run -D says nothing about logout" is 0 lines_about_logout alice first
        leave close
        check_outlived "$name"
        fresh alice
}

# ---- steps: the machine goes down

# Those whose tasks are there when it does. Bob's agent is started at boot; alice's by her next command.
sleepers() {
        if [ -d /run/taskflow ]; then echo alice; else echo alice bob; fi
}

leave_tasks() {
        local user

        set_logind no alice no
        for user in $(sleepers); do
                fresh "$user"
                enter "$user"
                if [ "$user" = bob ]; then
                        at_terminal bob 'taskflow agent enable --linger >enable.said 2>&1'
                fi
                queue "$user" first -c 1
                queue "$user" again --requeue
                expect "$user: two tasks run" eventually 60 both_run "$user" first again
                queue "$user" a -c 1
                queue "$user" b -c 1
                queue "$user" c -c 1
                expect "$user: three wait, in order" is "a b c" names "$user" -p
                leave exit
        done
}

go_down() {
        leave_tasks
        date +%s >$state/went_down
        systemctl reboot
        sleep infinity
}

# Nothing is written any more, as if the power were cut, at once after one more task was acknowledged.
crash() {
        local user

        leave_tasks
        for user in $(sleepers); do
                as "$user" 'taskflow run -D -n late -c 1 vm-task late'
        done
        echo b >/proc/sysrq-trigger
        sleep infinity
}

# systemd gives everything 90 s to end before it kills; what ends when told takes none of them.
went_down_at_once() {
        local seconds

        seconds=$(($(date +%s) - $(cut -d. -f1 /proc/uptime) - $(cat $state/went_down)))
        got="it took $seconds s"
        [ "$seconds" -lt 60 ]
}

come_back() {
        local user

        if [ -e $state/went_down ]; then
                expect "$1: no task held it up" went_down_at_once
                rm $state/went_down
        fi
        for user in $(sleepers); do
                came_back "$user" "$1, $user"
                fresh "$user"
        done
}

came_back() { # USER NAME
        local waiting="a b c" all="a again b c first"

        if [ "$part" = crash ]; then
                waiting="$waiting late"
                all="$all late"
        fi
        if [ "$1" = bob ]; then
                expect "$2: with nobody logged in, the next one starts" eventually 60 alive bob a
        else
                expect "$2: nothing starts before the login" not pgrep -u "$1"
        fi
        expect "$2: all tasks are there" is "$all" sorted_names "$1"
        expect "$2: the one that ran is lost" is lost state_of "$1" first
        expect "$2: as the machine went down" reason_says "$1" first "machine went down"
        expect "$2: the next one runs" eventually 60 alive "$1" a
        expect "$2: the others wait, in order" is "${waiting#a }" names "$1" -p
        expect "$2: the one with --requeue runs again" eventually 60 alive "$1" again
        touch $run/go."$1"
        expect "$2: all come to their end" eventually 120 has_ended "$1" "${waiting##* }"
        expect "$2: in order" is "$waiting" grep -vx again /home/"$1"/order
        expect "$2: also the one that ran again" eventually 60 is "done" state_of "$1" again
        expect "$2: the lost one did not run again" not ran "$1" first
        rm -f $run/go."$1"
}

# ran USER NAME: since the boot.
ran() {
        has_ended "$1" "$2" || alive "$1" "$2"
}

sorted_names() { # USER
        names "$1" -a | sort
}

reason_says() { # USER NAME WORDS
        got="the reason is '$(reason_of "$1" "$2")'"
        grep -qF "$3" <<<"$got"
}

# ---- steps: one queue for everybody

machine() {
        useradd --system --no-create-home taskflow
        cat >/etc/systemd/system/taskflowd.service <<'UNIT'
[Service]
User=taskflow
ExecStart=/usr/local/sbin/taskflowd --socket /run/taskflow/taskflowd.sock --state /var/lib/taskflow
RuntimeDirectory=taskflow
RuntimeDirectoryPreserve=yes
StateDirectory=taskflow
[Install]
WantedBy=multi-user.target
UNIT
        systemctl enable --quiet --now taskflowd
        eventually 30 test -S /run/taskflow/taskflowd.sock || note "taskflowd does not listen"
}

machine_sessions() {
        local name="the machine's queue, KillUserProcesses=no, linger no"

        fresh alice
        set_logind no alice no
        two_tasks "$name"
        leave close
        check_outlived "$name"
        fresh alice
}

finish() {
        say end
        systemctl poweroff
}

# ---- one after the other

wanted() { # PART
        local parts

        parts=$(sed -n 's/.*\bvm_check=\([^ ]*\).*/\1/p' /proc/cmdline)
        [ "$1" = always ] || [ -z "$parts" ] || grep -qF ",$1," <<<",$parts,"
}

mkdir -p $state $run
next=$(cat $state/next 2>/dev/null || echo 0)
while [ "$next" -lt ${#steps[@]} ]; do
        step=${steps[$next]%:*}
        part=${steps[$next]#*:}
        next=$((next + 1))
        echo $next >$state/next
        sync
        if wanted "$part"; then
                note "$part: $step"
                $step "$part"
        fi
done

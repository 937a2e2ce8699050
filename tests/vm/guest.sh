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
        package_install:package
        package_sandbox:package
        package_purge:package
        package_install:upgrade
        package_upgrade:upgrade
        package_purge:upgrade
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
                systemctl stop taskflowd.socket taskflowd.service
                rm -rf /var/lib/taskflow/*
                systemctl start taskflowd.socket taskflowd.service
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

# The package's, and not those that `make install` put beside it.
machine() {
        rm -rf /usr/local/bin/taskflow /usr/local/sbin/taskflowd /usr/local/libexec/taskflow /usr/local/lib/systemd \
                /usr/local/lib/sysusers.d
        dpkg -i /usr/local/lib/vm-check/now.deb >/dev/ttyS0 2>&1 || note "the package cannot be installed"
        systemctl is-active --quiet taskflowd || note "taskflowd does not run"
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

# ---- steps: the Debian package under systemd

# What a package could leave anywhere.
inventory() {
        find /etc /lib /usr /run/taskflow /var/lib/taskflow -printf '%p %U %G %m\n' 2>/dev/null | sort
        getent passwd
        getent group
}

property() { # UNIT NAME
        systemctl show "$1" -p "$2" --value
}

package_install() {
        fresh alice
        set_logind no alice no
        machine
        dpkg -P taskflow >/dev/ttyS0 2>&1
        inventory >$state/was
        expect "$1: it can be installed" dpkg -i /usr/local/lib/vm-check/before.deb
        expect "$1: the socket is there" is active systemctl is-active taskflowd.socket
        expect "$1: it is served" is active systemctl is-active taskflowd.service
        expect "$1: also after the next boot" is "enabled enabled" systemctl is-enabled taskflowd.socket taskflowd.service
        expect "$1: as a user of its own" is taskflow ps -o user= -p "$(property taskflowd MainPID)"
        expect "$1: without any capability" is 0000000000000000 \
                sed -n 's/^CapEff:\t//p' "/proc/$(property taskflowd MainPID)/status"
        expect "$1: in a sandbox that is 1.5 or better" systemd-analyze security --threshold=15 taskflowd.service
        expect "$1: its entries in the journal have levels" says_level
        expect "$1: the machine is up, with nothing failed" is running systemctl is-system-running
}

says_level() {
        journalctl -t taskflowd -o json | jq -e 'select(.MESSAGE | contains("listens on")) | .PRIORITY == "6"'
}

# in_sandbox USER COMMAND...: with the mounts and the devices of the daemon.
in_sandbox() {
        bash -c 'echo $$ >"/sys/fs/cgroup$1/cgroup.procs" && exec nsenter --mount --target "$2" setpriv --reuid "$3" --regid "$3" \
                --init-groups "${@:4}"' bash "$(property taskflowd ControlGroup)" "$(property taskflowd MainPID)" "$@"
}

package_sandbox() {
        local total gpus=/etc/systemd/system/taskflowd.service.d/gpus.conf

        total=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) * 1024))
        expect "sandbox: it sees the machine's memory" is "$total" as_json alice status .memory.total_bytes
        as alice 'taskflow run -n seen true'
        expect "sandbox: it sees who comes" is "alice $(id -u alice)" \
                as_json alice 'ps -a' '.tasks[] | select(.name == "seen") | "\(.user) \(.uid)"'
        expect "sandbox: it sees the processes of tasks" sees_use
        expect "sandbox: not even root could open other devices" not in_sandbox root head -c 1 /dev/vda
        expect "sandbox: or write anything" not in_sandbox root touch /usr/x
        expect "sandbox: or look into homes" is "" in_sandbox root ls /home
        expect "sandbox: but into its state" in_sandbox taskflow test -s /var/lib/taskflow/taskflow.db

        # The node of a real driver of the kernel's, for a card that draws nowhere.
        expect "sandbox: a driver for GPUs can be loaded" modprobe vgem
        eventually 10 test -c /dev/dri/card0
        systemctl restart taskflowd
        expect "sandbox: the node of a GPU may be opened" in_sandbox taskflow sh -c ': <>/dev/dri/card0'
        expect "sandbox: not by everybody" not runuser -u bob -- sh -c ': <>/dev/dri/card0'

        # A driver's library, which the probe opens in there.
        mkdir -p "${gpus%/*}" /srv/gpus
        mkdir -m 777 /srv/gpus/gpus.txt.d
        cp /usr/local/lib/vm-check/libnvidia-ml.so.1 /srv/gpus/
        printf 'gpu %s\nuuid GPU-%s\nname Stand-In\ntotal 24G\n' 0 aaaa 1 bbbb >/srv/gpus/gpus.txt
        printf '[Service]\nEnvironment=LD_LIBRARY_PATH=/srv/gpus TASKFLOW_TEST_NVML=/srv/gpus/gpus.txt\n' >$gpus
        systemctl daemon-reload
        systemctl restart taskflowd
        expect "sandbox: a task for a GPU gets one" is 1 as alice 'taskflow run -q --gpu 1:1G "echo \$TASKFLOW_GPUS"'
        expect "sandbox: both are known" is "0 1" as_json alice status '.gpus[].index'
        rm -r "${gpus%/*}" /srv/gpus
        systemctl daemon-reload
        systemctl restart taskflowd
}

as_json() { # USER COMMAND FILTER
        as "$1" "taskflow $2 --json" | jq -r "$3"
}

# What a running task takes is reported by its own runner, and must be attributed to it.
sees_use() {
        local id

        id=$(as alice 'taskflow run -D -n use vm-task use')
        eventually 60 uses_memory "$id" || return 1
        touch $run/go.alice
        as alice "taskflow wait $id"
        rm -f $run/go.alice
}

uses_memory() { # ID
        [ "$(as_json alice "show $1" '.used.memory_bytes // 0')" -gt 0 ]
}

# Everybody goes on asking while the package is replaced.
ask_all_the_time() {
        while [ ! -e $run/enough ]; do
                runuser -u bob -- taskflow ps >/dev/null 2>>$run/turned_away || echo "ps: status $?" >>$run/turned_away
                runuser -u bob -- taskflow run true 2>>$run/turned_away || echo "run: status $?" >>$run/turned_away
        done
}

package_upgrade() {
        local asking daemon pid socket

        fresh alice
        rm -f $run/enough $run/turned_away
        enter alice
        queue alice first -c 1
        queue alice second -c 1
        rm -f /home/alice/typed
        type_line 'taskflow run -n front -c 1 echo went 2>front.said; : >~/typed'
        expect "upgrade: one task runs" eventually 60 alive alice first
        expect "upgrade: two wait" eventually 60 is "second front" names alice "-p -u"
        daemon=$(property taskflowd MainPID)
        socket=$(property taskflowd.socket ActiveEnterTimestampMonotonic)
        read -r pid _ </home/alice/first.pid
        ask_all_the_time &
        asking=$!
        expect "upgrade: the package can be replaced" dpkg -i /usr/local/lib/vm-check/now.deb
        expect "upgrade: it is served" is active systemctl is-active taskflowd.service
        expect "upgrade: by another process" not is "$daemon" property taskflowd MainPID
        expect "upgrade: at the same socket" is "$socket" property taskflowd.socket ActiveEnterTimestampMonotonic
        expect "upgrade: the running task runs on" is "$pid" as_json alice "ps" '.tasks[] | select(.name == "first") | .pid'
        expect "upgrade: the others wait, in order" is "second front" names alice "-p -u"
        touch $run/enough
        wait $asking
        expect "upgrade: nobody was turned away meanwhile" not test -s $run/turned_away
        got=$(head -n 3 $run/turned_away 2>/dev/null)
        touch $run/go.alice
        expect "upgrade: all come to their ends" eventually 120 test -e /home/alice/typed
        expect "upgrade: the first is done" is "done" state_of alice first
        expect "upgrade: so is the second" is "done" state_of alice second
        expect "upgrade: the one at the terminal noticed nothing" not grep -q daemon /home/alice/front.said
        leave exit
        # A mistake in the settings is refused, and what was goes on.
        daemon=$(property taskflowd MainPID)
        cp /etc/taskflow/taskflow.conf $state/conf
        echo 'nonsense = 1' >>/etc/taskflow/taskflow.conf
        expect "upgrade: wrong settings are refused" not systemctl reload taskflowd
        cp $state/conf /etc/taskflow/taskflow.conf
        expect "upgrade: right ones are taken" systemctl reload taskflowd
        expect "upgrade: by the same process" is "$daemon" property taskflowd MainPID
}

package_purge() {
        fresh alice
        expect "$1, purge: it succeeds" dpkg -P taskflow
        expect "$1, purge: nobody serves" not pgrep -x taskflowd
        inventory >$state/is
        expect "$1, purge: nothing is left" diff $state/was $state/is
        expect "$1, purge: nothing has failed" is "" systemctl --failed --quiet --no-legend
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

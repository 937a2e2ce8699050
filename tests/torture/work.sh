#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What each task of the torture test does: says in the journal that it begins and that it ends, each with one write.
#
#     work JOURNAL NAME LENGTH STATUS FAILS
#
# LENGTH seconds, then STATUS; its first FAILS runs end with 7.
me="$2 $TASKFLOW_TASK_ID${TASKFLOW_ARRAY_INDEX:+_$TASKFLOW_ARRAY_INDEX}"
echo "begin $me $$ $PPID" >>"$1"
status=$4
if [ "$5" != 0 ] && [ "$(grep -c "^begin $me " "$1")" -le "$5" ]; then
        status=7
fi
if [ "$3" = 5 ]; then
        setsid sleep "$3" &
fi
if [ "$3" != 0 ]; then
        sleep "$3"
fi
echo "end $me $$ $status" >>"$1"
exit "$status"

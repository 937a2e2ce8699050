# SPDX-License-Identifier: GPL-3.0-or-later
"""Last of all: whatever the other tests did, nothing of it is left."""

from harness import command_line, pids_that_mention


def test_no_process_and_no_file_is_left(session_folder):
    assert [f"{pid} {command_line(pid)}" for pid in pids_that_mention(f"{session_folder}/t")] == []
    assert [path.name for path in session_folder.iterdir() if path.name != "bin"] == []

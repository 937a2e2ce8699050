# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that are full when a test wants them to be."""

import contextlib
import os
import pathlib
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(path, size):
    """A file system of its own at that folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", path], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield pathlib.Path(path)
    finally:
        subprocess.run(["umount", "-l", path], check=False)


def fill(path):
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096) > 0:
            pass

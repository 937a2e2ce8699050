#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove what `make install` put in place: uninstall.py BUILD [DESTDIR]."""

import json
import os
import subprocess
import sys

build = sys.argv[1]
destdir = sys.argv[2] if len(sys.argv) > 2 else ""
installed = json.loads(subprocess.check_output(["meson", "introspect", "--installed", build]))

for path in sorted(installed.values()):
    target = destdir + path
    try:
        os.unlink(target)
    except FileNotFoundError:
        continue
    except OSError as error:
        sys.exit(f"cannot remove '{target}': {error.strerror}")
    print(f"removed {target}")
    try:
        # only folders of our own, and only when they are empty
        if os.path.basename(os.path.dirname(target)) == "taskflow":
            os.rmdir(os.path.dirname(target))
    except OSError:
        pass

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set up a build folder, or change one so that it has these options: configure.py BUILD [-DNAME=VALUE]... [-- FLAG...]

What is behind `--` counts only where there is no build folder yet. A folder that has the options already is left alone,
because each change makes Meson look at the whole machine again.
"""

import json
import os
import subprocess
import sys


def has_options(build, wanted):
    found = json.loads(subprocess.check_output(["meson", "introspect", "--buildoptions", build]))
    values = {option["name"]: option["value"] for option in found}
    return all(str(values.get(name)).lower() == value.lower() for name, value in wanted.items())


def main():
    build, *flags = sys.argv[1:]
    only_first = []
    if "--" in flags:
        only_first = flags[flags.index("--") + 1 :]
        flags = flags[: flags.index("--")]

    if not os.path.exists(os.path.join(build, "build.ninja")):
        command = ["meson", "setup", *flags, *only_first, build]
        if os.path.exists(os.path.join(build, "meson-private", "coredata.dat")):
            command.insert(2, "--wipe")  # one that was interrupted
    elif has_options(build, dict(flag[2:].split("=", 1) for flag in flags)):
        return
    else:
        command = ["meson", "configure", build, *flags]
    sys.exit(subprocess.run(command).returncode)


if __name__ == "__main__":
    main()

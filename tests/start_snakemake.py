"""Snakemake in a fork of the warm process: ``start_snakemake.py STDOUT STDERR SOCKET ARGUMENT ...``.

What it prints goes to two files. Its jobs are forks too where SOCKET, the warm process's address, is not empty.
"""

import os
import sys

from snakemake.cli import main

from smdl.runtime.warm import SOCKET

stdout, stderr, address, *arguments = sys.argv[1:]
for path, number in ((stdout, 1), (stderr, 2)):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
if address:
    os.environ[SOCKET] = address
else:
    del os.environ[SOCKET]
sys.argv = ["snakemake", *arguments]
main(arguments)

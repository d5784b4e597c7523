"""Snakemake in a fork of the warm process: ``start_snakemake.py SOCKET ARGUMENT ...``.

Its jobs are forks too where SOCKET, the warm process's address, is not empty.
"""

import os
import sys

from snakemake.cli import main

from smdl.runtime.warm import SOCKET

address, *arguments = sys.argv[1:]
if address:
    os.environ[SOCKET] = address
else:
    del os.environ[SOCKET]
sys.argv = ["snakemake", *arguments]
main(arguments)

#!/bin/sh
# What both recipes install into Debian 12: Python 3.11, a C compiler for the sampler's kernel, and what
# requirements.lock pins, into /opt/smdl. It is run beside requirements.lock.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev python3 python3-venv
rm -rf /var/lib/apt/lists/*
python3 -m venv /opt/smdl
/opt/smdl/bin/python -m pip install --no-cache-dir --disable-pip-version-check --requirement requirements.lock
# The workflow is not in the image: Snakemake shows its folder to every job.
/opt/smdl/bin/python -c 'import numpy, snakemake, torch, transformers'

"""Stand-in for an LLC chain: one draw every half second, its state saved at SIGTERM."""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
state = Path(snakemake.params.state)
draws = json.loads(state.read_text()) if state.exists() else []
log = Path(snakemake.log[0]).open("a")
job = os.environ.get("SLURM_JOB_ID")
print(f"job {job} starts at draw {len(draws)} restart {os.environ.get('SLURM_RESTART_COUNT')}", file=log, flush=True)
hoard = b"x" * 900_000_000 if snakemake.params.greedy and snakemake.resources.mem_mb <= 700 else b""
while len(draws) < snakemake.params.draws:
    draws.append(random.Random(len(draws)).random())
    time.sleep(0.5)
    if stopped:
        time.sleep(2)
        state.write_text(json.dumps(draws))
        print(f"job {job} saved at draw {len(draws)}", file=log, flush=True)
        sys.exit(75)
Path(snakemake.output[0]).write_text(json.dumps(draws))
print(f"job {job} done", file=log, flush=True)

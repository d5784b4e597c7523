"""A real SLURM cluster on this machine: Debian's daemons in one private folder, listening on loopback only.

Nothing is written outside the folder, no service is enabled, and root is not needed once the packages are there.
Used by the tests as a fixture, and by ``make mini-slurm`` as a command that runs another one inside the cluster:

    python tests/slurm/cluster.py --accounting -- snakemake --profile profiles/slurm
"""

import argparse
import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

SLURM_PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
# The -core packages hold the database without the service that Debian's full package starts.
ACCOUNTING_PACKAGES = ("slurmdbd", "mariadb-server-core", "mariadb-client-core")
CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr", "sshare")
NODES = ("node1", "node2", "node3", "node4", "node5", "node6")
ACCOUNT = "smdl"
MARK = "SMDL_TEST_CLUSTER"

SLURM_CONF = """\
ClusterName=smdl
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[slurmctld]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A requeued job waits until its old credential has expired.
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
{loopback}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.own
SlurmdLogFile={folder}/log/slurmd-%n.own
PlugStackConfig={folder}/plugstack.conf
# Neither cgroups nor affinity nor MPI, so that any container will do.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
# Answers within a second, and faults noticed within half a minute.
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,bf_interval=1,sched_interval=5,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
EnforcePartLimits=ALL
SlurmctldTimeout=30
SlurmdTimeout=20
MessageTimeout=10
InactiveLimit=0
KillWait=10
MinJobAge=300
Waittime=0
OverTimeLimit=0
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# Without cgroups, this is what ends a job that takes more memory than it asked for.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/none
# More processors than the machine has: the jobs of the tests mostly wait.
SlurmdParameters=config_overrides
MaxJobCount=50000
GresTypes=gpu
DefMemPerCPU=100
{accounting}
{nodes}
PartitionName=DEFAULT MaxTime=60 DefaultTime=5 State=UP PriorityTier=1 PreemptMode=REQUEUE LLN=YES
PartitionName=cpu Nodes=node1,node2 Default=YES
PartitionName=gpu Nodes=node1,node2
# One node for each kind of harm that the tests do to a whole node.
PartitionName=frail Nodes=node3
PartitionName=requeued Nodes=node4
PartitionName=cancelled Nodes=node5 PreemptMode=CANCEL
PartitionName=unfit Nodes=node6
PartitionName=urgent Nodes=node4,node5 PriorityTier=2 PreemptMode=OFF
"""

SLURM_CONF_ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports[slurmdbd]}
AccountingStoragePass=socket={folder}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment"""

SLURMDBD_CONF = """\
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ports[slurmdbd]}
SlurmUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[mariadbd]}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
LogFile={folder}/log/slurmdbd.own
PidFile={folder}/slurmdbd.pid
"""

# Device files give jobs a CUDA_VISIBLE_DEVICES; a bare count would not.
GRES_CONF = """\
AutoDetect=off
Name=gpu Type=fake File=/dev/null
Name=gpu Type=fake File=/dev/zero
"""


class Unavailable(Exception):
    """SLURM cannot be had here; the text is one plain word, and in brackets what lies behind it."""


def provide(accounting: bool = False) -> None:
    """See to it that the daemons are installed; raise Unavailable where they are not and cannot be."""
    programs = ["munged", "slurmctld", "slurmd", "sbatch"] + ["slurmdbd", "mariadbd"] * accounting
    if all(_program(name) for name in programs):
        return
    if os.geteuid() != 0:
        raise Unavailable("absent (SLURM is not installed, and only root could install it)")
    if not shutil.which("apt-get"):
        raise Unavailable("absent (SLURM is not installed, and this is not Debian)")
    packages = SLURM_PACKAGES + ACCOUNTING_PACKAGES * accounting
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", *command], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"absent (apt-get {command[0]}: {(done.stderr.strip() or 'failed').splitlines()[-1]})")


class Cluster:
    """munged, slurmctld and six slurmd, with ``accounting`` also slurmdbd on MariaDB; a context manager.

    ``environment`` is what a client needs: pass it to every subprocess that talks to the cluster.
    """

    def __init__(self, accounting: bool = False) -> None:
        self.accounting = accounting
        # munged's socket allows about a hundred characters: a folder of pytest's would be too deep.
        self.folder = Path(tempfile.mkdtemp(prefix="smdl-slurm-"))
        self.folder.chmod(0o755)
        self.ports = _free_ports("slurmctld", "slurmdbd", "mariadbd", *NODES)
        self.daemons: dict[str, subprocess.Popen] = {}
        self.environment = os.environ | {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}:/usr/sbin",
            MARK: str(self.folder),
        }

    def __enter__(self) -> "Cluster":
        try:
            self._write_files()
            self.start("munged")
            if self.accounting:
                self._start_accounting()
            self.start("slurmctld")
            for node in NODES:
                self.start(node)
            self._until(lambda: self.run("sinfo", "-h", "-N", "-o", "%T").split().count("idle") >= len(NODES))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "slurmctld" in self.daemons:
            subprocess.run([self.folder / "bin/scancel", "--user", getpass.getuser()], env=self.environment)
        for name in reversed(list(self.daemons)):
            self.stop(name)
        self._sweep()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *command: str) -> str:
        """Run a client command in the cluster and return what it prints; CalledProcessError when it fails."""
        return subprocess.run(
            command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True, timeout=60
        ).stdout

    def start(self, name: str) -> None:
        """Start a daemon, ``name`` being the program or, for a slurmd, its node, and wait until it answers."""
        commands = {
            "munged": ["munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket"]
            + [f"--{part}-file={self.folder}/munge.{part}" for part in ("key", "seed", "pid", "log")],
            "mariadbd": ["mariadbd", *self._database_options()],
            "slurmdbd": ["slurmdbd", "-D"],
            "slurmctld": ["slurmctld", "-D"],
        }
        command = commands.get(name, ["slurmd", "-D", "-N", name])
        program = _program(command[0])
        # Should this process be killed, the kernel takes its daemons along.
        leash = ["setpriv", "--pdeathsig", "KILL", "--"]
        with (self.folder / "log" / name).open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                [*leash, program, *command[1:]],
                env=self.environment,
                # What a daemon leaves when it crashes goes with the folder.
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if name == "munged":
            self._until((self.folder / "munge.socket").exists)
        else:
            self._until(lambda: _listens(self.ports[name]))

    def stop(self, name: str, sent: signal.Signals = signal.SIGTERM) -> None:
        """Send a daemon a signal, SIGTERM unless said otherwise, and wait for its end."""
        daemon = self.daemons.pop(name)
        daemon.send_signal(sent)
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def account(self) -> str:
        """sacct's table of all jobs, once the database has caught up with the controller."""
        finished = len(self.run("squeue", "-h", "--states=all", "-o", "%i").split())
        with suppress(TimeoutError):
            self._until(lambda: len(self.run("sacct", "-a", "-n", "-X", "-o", "JobID").split()) >= finished, 10)
        columns = "JobID,Comment%60,Partition,ReqTRES%36,State,ExitCode,Elapsed,MaxRSS"
        return self.run("sacct", "--allusers", f"--format={columns}")

    def spoil(self, node: str) -> None:
        """Take from a node the folder that jobs are launched from, as a full disk would."""
        spool = self.folder / "spool" / node
        spool.rename(spool.with_suffix(".whole"))
        spool.touch()

    def mend(self, node: str) -> None:
        """Give it back."""
        spool = self.folder / "spool" / node
        spool.unlink()
        spool.with_suffix(".whole").rename(spool)

    def signal_job(self, job: str, sent: signal.Signals, watchers: bool = False) -> None:
        """Send a signal to all processes of a job, behind SLURM's back; ``watchers``: also to its slurmstepd."""
        for process in self._of_job(job, watchers):
            with suppress(OSError):
                os.kill(int(process.name), sent)

    def awaits(self, job: str, sent: signal.Signals) -> bool:
        """Whether this signal waits for a process of a stopped job, or none of them is left."""
        processes, waiting = self._of_job(job), 0
        for process in processes:
            with suppress(OSError):
                status = (process / "status").read_text()
                waiting |= int(re.search(r"^ShdPnd:\t(\w+)$", status, flags=re.MULTILINE)[1], 16)
        return not processes or bool(waiting >> (sent - 1) & 1)

    def log(self) -> str:
        """The ends of all daemons' logs, for the message of a failed test."""
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted((self.folder / "log").iterdir())
        )

    def _write_files(self) -> None:
        for name in ("log", "state", "spool", "bin", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir()
        values = {"folder": self.folder, "user": getpass.getuser(), "ports": self.ports}
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={node} NodeAddr=127.0.0.1 Port={self.ports[node]} "
            "CPUs=32 RealMemory=16000 Gres=gpu:fake:2 State=UNKNOWN"
            for node in NODES
        )
        accounting = SLURM_CONF_ACCOUNTING.format(**values) if self.accounting else ""
        files = {
            "slurm.conf": SLURM_CONF.format(**values, nodes=nodes, accounting=accounting, loopback=_loopback()),
            "slurmdbd.conf": SLURMDBD_CONF.format(**values),
            "gres.conf": GRES_CONF,
            "cgroup.conf": "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n",
            "plugstack.conf": "",
        }
        for name, text in files.items():
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o600 if name == "slurmdbd.conf" else 0o644)
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        # The executor's job step drops SLURM_CONF before it calls srun: so the clients bring it along themselves.
        for name in CLIENTS:
            client = self.folder / "bin" / name
            client.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {_program(name)} "$@"\n')
            client.chmod(0o755)

    def _database_options(self) -> list[str]:
        folder = self.folder / "database"
        return [
            "--no-defaults",
            f"--user={getpass.getuser()}",
            f"--datadir={folder}",
            f"--socket={self.folder}/mariadb.socket",
            f"--pid-file={self.folder}/mariadb.pid",
            f"--port={self.ports['mariadbd']}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-log-bin",
            f"--init-file={self.folder}/database.sql",
            # A database of a few hundred rows need neither be large nor survive a power cut.
            "--innodb-log-file-size=4M",
            "--innodb-flush-log-at-trx-commit=0",
        ]

    def _start_accounting(self) -> None:
        (self.folder / "database.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS slurm;\n"
            "CREATE USER IF NOT EXISTS slurm@'127.0.0.1' IDENTIFIED BY 'slurm';\n"
            "GRANT ALL ON slurm.* TO slurm@'127.0.0.1';\n"
        )
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={self.folder}/database", "--skip-test-db"]
        install += [f"--user={getpass.getuser()}", "--auth-root-authentication-method=normal"]
        subprocess.run(install, check=True, capture_output=True)
        self.start("mariadbd")
        self.start("slurmdbd")
        for what in (["cluster", "smdl"], ["account", ACCOUNT], ["user", getpass.getuser(), f"account={ACCOUNT}"]):
            self.run("sacctmgr", "-i", "add", *what)

    def _until(self, holds: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the cluster did not come up within {seconds:g} s\n{self.log()}")
            time.sleep(0.05)

    def _marked(self) -> list[Path]:
        """Every process of this cluster and its jobs, but this one, as its folder under /proc."""
        mark = f"{MARK}={self.folder}\0".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if int(process.name) != os.getpid() and mark in (process / "environ").read_bytes():
                    found.append(process)
        return found

    def _of_job(self, job: str, watchers: bool = False) -> list[Path]:
        """The processes of a job, as folders under /proc; ``watchers``: also its slurmstepd."""
        stepd = f"slurmstepd: [{job}.".encode()
        mine = f"SLURM_JOB_ID={job}\0".encode()
        found = []
        for process in self._marked():
            with suppress(OSError):
                watcher = (process / "cmdline").read_bytes().startswith(stepd)
                if mine in (process / "environ").read_bytes() or (watcher and watchers):
                    found.append(process)
        return found

    def _sweep(self) -> None:
        """End what jobs left behind: everything whose environment bears this cluster's mark."""
        for process in self._marked():
            with suppress(OSError):
                os.kill(int(process.name), signal.SIGKILL)


def _program(name: str) -> str | None:
    """The program's path; daemons live where an ordinary user's PATH does not look."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _loopback() -> str:
    """The option that binds SLURM to the host name's address, where that is the loopback one and so of use."""
    try:
        name = socket.gethostbyname(socket.gethostname())
    except OSError:
        return ""
    return "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny" if name == "127.0.0.1" else ""


def _free_ports(*names: str) -> dict[str, int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    ports = {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
    for each in sockets:
        each.close()
    return ports


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> int:
    """Run a command inside a cluster of its own, then print what SLURM's accounting knows of its jobs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--accounting", action="store_true", help="with slurmdbd on MariaDB, hence sacct and accounts")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    try:
        provide(arguments.accounting)
    except Unavailable as why:
        print(f"no cluster: {why}", file=sys.stderr)
        return 1
    # Asked to stop, it stops its cluster too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with Cluster(arguments.accounting) as cluster:
        status = subprocess.run(arguments.command, env=cluster.environment).returncode
        if arguments.accounting:
            print(cluster.account())
    return status


if __name__ == "__main__":
    sys.exit(main())

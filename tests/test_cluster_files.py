"""The files in study/cluster, and the README's lines that use them, are tried on simulated nodes.

Each `ray start` is a node, in a scratch folder of its own. SLURM's commands are stubs that run theirs here.
"""

import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from study.errors import UserError
from study.machine.files import read_json
from study.records.study_folder import StudyFolder
from study.runner import environment
from study.runner.workplace import SCRATCH
from tests.commands import end_all, wait_for
from tests.studies import TINY, check_books, small, states

ROOT = Path(__file__).parent.parent
FILES = ROOT / "study" / "cluster"
SIZE = [
    *TINY,
    "--kimg",
    "1",
    "--eval-kimg",
    "0.25",
    "--trials",
    "2",
    "--sampler",
    "random",
    "--scheduler",
    "fifo",
]
SUBMIT = (
    "ray job submit --address http://localhost:8265 -- python -m study.tune --address auto --nodes 2 --space"
)
STUBS = {
    "scontrol": '[ "$1 $2 $3" = "show hostnames two[1-2]" ] && printf "127.0.0.1\\nsecond\\n"',
    # Its command runs as if on the node of that name.
    "srun": f"""while [[ "$1" == --* ]]; do [[ "$1" != --nodelist=* ]] || node=${{1#*=}}; shift; done
        exec env {SCRATCH}="$HOME/scratch-$node" "$@" """,
    # `ray stop` would end all of a user's clusters, on a machine that has several.
    "ray": """[ "$1" != stop ] || exit 0
        [[ " $* " != *" --head "* ]] || set -- "$@" $HEAD_PORTS
        exec "$REAL_RAY" "$@" """,
}


def launcher() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FILES / "launcher.yaml").read_text())
    return document


def readme() -> str:
    """Its section on clusters."""
    text = (ROOT / "README.md").read_text()
    (section,) = re.findall(r"^## On a cluster\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    return str(section)


def line_of(start: str) -> str:
    """The README's command line that begins so, without what is said beside it."""
    (line,) = re.findall(rf"^ *({re.escape(start)}.*?)(?:   .*)?$", readme(), re.MULTILINE)
    return str(line)


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def test_the_scripts_are_clean() -> None:
    subprocess.run([Path(sys.executable).with_name("shellcheck"), FILES / "slurm.sh"], check=True)
    assert os.access(FILES / "slurm.sh", os.X_OK)


def test_the_launcher_file_is_what_ray_expects() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(launcher()))
    with pytest.raises(Exception, match="wrong_key"):
        validate_config(prepare_config({**launcher(), "wrong_key": 1}))


def test_the_launcher_files_image_has_the_ray_that_is_installed_beside() -> None:
    import ray

    assert launcher()["docker"]["image"].startswith(f"rayproject/ray:{ray.__version__}-py3")


def test_the_container_file_copies_what_there_is_and_installs_what_the_package_needs(tmp_path: Path) -> None:
    text = (FILES / "Containerfile").read_text().replace("\\\n", "")
    copied = [path for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE) for path in line.split()[:-1]]
    assert all((ROOT / path).exists() for path in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages | {"pyproject.toml", project["project"]["readme"]} == set(copied)
    (run,) = (line for line in re.findall(r"^RUN (.*)$", text, re.MULTILINE) if "requirements.txt" in line)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    make, _, install = run.partition(" && ")
    subprocess.run(["sh", "-c", make.replace("python", sys.executable, 1)], cwd=tmp_path, check=True)
    required = (tmp_path / "requirements.txt").read_text().splitlines()
    known = project["project"]
    assert required == known["dependencies"] + known["optional-dependencies"]["cluster"]
    assert install.strip() == "pip install --no-cache-dir -r requirements.txt"


def test_a_jobs_results_do_not_go_with_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "working_dir_files" / "_ray_pkg_1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    environment.check_stays(tmp_path / "results")
    with pytest.raises(UserError, match="give --results, or --resume, an absolute path"):
        environment.check_stays(Path("results"))


def test_something_else_that_listens_is_no_head() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(99)
                connection.sendall(b"HTTP/1.1 400 Bad Request")

        answering = Thread(target=answer)
        answering.start()
        with pytest.raises(UserError, match=f"at '{address}': something else listens there"):
            environment.prepare(address)
        answering.join()


class Machines:
    """This machine as several: a home of its own, stubs on the PATH, all ended at the end."""

    def __init__(self, home: Path, temporary: Path) -> None:
        self.home = home
        self.dashboard, agent, client = free_ports(3)
        ports = {"dashboard-port": self.dashboard, "dashboard-agent-listen-port": agent}
        ports["ray-client-server-port"] = client
        (home / "bin").mkdir()
        for name, script in STUBS.items():
            (home / "bin" / name).write_text(f"#!/usr/bin/env bash\nset -eu\n{script}\n")
            (home / "bin" / name).chmod(0o755)
        self.gate = home / "gate"
        self.gate.mkdir()
        (home / "small.yaml").write_text(yaml.safe_dump(small()))
        binaries = Path(sys.executable).parent
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "GATE": str(self.gate),
            "HEAD_PORTS": " ".join(f"--{name}={port}" for name, port in ports.items()),
            "HOME": str(home),
            "PATH": os.pathsep.join([str(home / "bin"), str(binaries), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "gate"), str(ROOT)]),
            "RAY_TMPDIR": str(temporary),
            "RAY_USAGE_STATS_ENABLED": "0",
            "REAL_RAY": str(binaries / "ray"),
        }

    def shell(self, line: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end; what it leaves in the background goes on."""
        with tempfile.TemporaryFile("w+") as out:
            status = subprocess.run(
                ["bash", "-c", line], cwd=self.home, env=self.environment | more, stdout=out, stderr=out
            ).returncode
            out.seek(0)
            return subprocess.CompletedProcess(line, status, out.read())

    def processes(self) -> set[int]:
        """All that have this home."""
        found = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"HOME={self.home}".encode() in path.read_bytes().split(b"\0"):
                    found.add(int(path.parent.name))
            except OSError:  # it has ended, or is somebody else's
                continue
        return found


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as temporary:  # for sockets: short
        machines = Machines(tmp_path_factory.mktemp("home"), Path(temporary))
        yield machines
        end_all(machines.processes())


@pytest.mark.study
def test_a_slurm_job_that_reaches_its_limit_goes_on_in_another(machines: Machines) -> None:
    job = {
        "SLURM_JOB_NODELIST": "two[1-2]",
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_CPUS_PER_TASK": "1",
        "HEAD_PORTS": "",
    }
    script = line_of("sbatch study/cluster/slurm.sh --space").split()[1]
    (machines.gate / "small-00001").touch()
    with (machines.home / "job.txt").open("w") as out:
        first = subprocess.Popen(
            [ROOT / script, "--space", "small.yaml", "--name", "limited", *SIZE],
            cwd=machines.home, env=machines.environment | job, stdout=out, stderr=out,
        )  # fmt: skip
    held = machines.gate / "small-00001.held"
    wait_for(lambda: first.poll() is not None or held.exists())
    words = (machines.home / "job.txt").read_text()
    assert first.poll() is None, words
    token = machines.home / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    first.send_signal(signal.SIGTERM)  # to the script alone, as --signal=B:TERM@120 asks for
    assert first.wait(60) == 130, (machines.home / "job.txt").read_text()
    study = StudyFolder(machines.home / "results" / "limited")
    hint = "not finished; continue with: sbatch study/cluster/slurm.sh --resume "
    assert hint in (machines.home / "job.txt").read_text()
    assert read_json(study.path / "study.json")["hardware"]["machines"] == [[1, 0]] * 2
    wait_for(lambda: not machines.processes(), 20)
    (machines.gate / "small-00001").unlink()
    resume = [
        word.replace("mine", "limited") for word in line_of("sbatch study/cluster/slurm.sh --resume").split()
    ]
    again = machines.shell(shlex.join([str(ROOT / script), *resume[2:]]), **job)
    assert again.returncode == 0, again.stdout
    wait_for(lambda: not machines.processes(), 20)
    check_books(study, {"small": 2}, evaluations=5)
    assert set(states(study).values()) == {"completed"}


@pytest.fixture(scope="module")
def launched(machines: Machines) -> Machines:
    """What `ray up` does: the launcher file's commands, on a head and two workers, with Ray's variables."""
    file, (port,) = launcher(), free_ports(1)
    assert machines.shell(line_of("(umask 077; ray get-auth-token")).returncode == 0
    local = {
        **file,
        "provider": {"type": "local", "head_ip": "127.0.0.1", "worker_ips": []},
        "max_workers": 0,
    }
    (machines.home / "ray_bootstrap_config.yaml").write_text(
        yaml.safe_dump({key: local[key] for key in ("cluster_name", "provider", "auth")})
    )
    kinds = file["available_node_types"]

    def start(name: str, kind: str, **found: int) -> None:
        variables = {
            "RAY_HEAD_IP": "127.0.0.1",
            "RAY_OVERRIDE_RESOURCES": json.dumps({**found, **kinds[kind]["resources"]}),
            SCRATCH: str(machines.home / name),
        }
        for command in file[f"{kind}_start_ray_commands"]:
            done = machines.shell(command.replace("6379", str(port)), **variables)
            assert done.returncode == 0, done.stdout

    start("head", "head")
    start("first", "worker", CPU=1)  # not at once: on one machine they would take the same ports
    start("second", "worker", CPU=1)
    machines.environment["ADDRESS"] = f"127.0.0.1:{port}"
    return machines


@pytest.mark.study
def test_a_job_is_submitted_to_a_launched_cluster(launched: Machines) -> None:
    line = line_of(SUBMIT).replace("8265", str(launched.dashboard))
    line = line.replace("--space wgan_gp", f"--space {launched.home}/small.yaml")
    done = launched.shell(f"{line_of('export RAY_AUTH_MODE')}; {line} {shlex.join(SIZE)}")
    assert done.returncode == 0, done.stdout
    assert "the folder results/mine is not there on 3 of the cluster's nodes" in done.stdout
    study = StudyFolder(launched.home / "results" / "mine")
    check_books(study, {"small": 2}, evaluations=5)
    assert set(states(study).values()) == {"completed"}
    assert (
        read_json(study.path / "study.json")["hardware"]["machines"] == [[1, 0]] * 2
    )  # the head trains none


@pytest.mark.study
def test_without_the_token_there_is_no_way_in(launched: Machines) -> None:
    tune = f'python -m study.tune --space small.yaml {shlex.join(SIZE)} --address "$ADDRESS"'
    done = launched.shell(tune, RAY_AUTH_TOKEN="another", RAY_NUM_REDIS_GET_RETRIES="2")
    assert done.returncode == 2
    sentence = r"error: there is no Ray cluster to join at '.*': it asks for a token, .*\n"
    assert re.fullmatch(sentence, done.stdout)


@pytest.mark.study
def test_a_node_without_this_package_is_told(launched: Machines) -> None:
    elsewhere = launched.home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "sitecustomize.py").write_text('import sys\nsys.modules["study"] = None\n')
    node = 'ray start --address "$ADDRESS" --num-cpus=1'
    done = launched.shell(node, RAY_AUTH_MODE="token", PYTHONPATH=str(elsewhere))
    assert done.returncode == 0, done.stdout
    tune = f'python -m study.tune --space small.yaml {shlex.join(SIZE)} --address "$ADDRESS" --nodes 3'
    done = launched.shell(tune)
    assert done.returncode == 2
    sentence = (
        r"waiting .*\nerror: a node of the cluster can't be used \(each needs this package installed\): .*\n"
    )
    assert re.fullmatch(sentence, done.stdout)

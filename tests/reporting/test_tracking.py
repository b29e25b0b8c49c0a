"""study.reporting.tracking: what a W&B run holds, and that nothing about W&B can hold up or break a study."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from study.plan import WANDB_MODES
from study.reporting.tracking import Tracker, config_of, sweep_of
from tests.studies import small, study_plan, trial_plan, wandb_history, wandb_records, wandb_run

RUN = "wgan_gp-00003"
GROUP = "rings-seed-1"
STOPPED = "W&B tracking stopped: {}; the study goes on without it\n"


@pytest.fixture(scope="module", autouse=True)
def no_login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home and an environment without W&B's settings, whoever runs the tests."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("NETRC", str(home / "netrc"))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder with one finished, one failed and one unfinished run, kept offline."""
    folder = tmp_path_factory.mktemp("study")
    image = folder / "samples.png"
    Image.new("RGB", (4, 4)).save(image)
    (folder / "wandb").mkdir()
    (folder / "wandb" / "sweeps.json").write_text('{"rings": "sweep-id"}')
    tracker = Tracker("offline", folder, "gan", GROUP)
    tracker.start(RUN, {"lr": 2e-4, "loss": "wgan_gp", "space": "rings", "dataset": "folder:/" + "x" * 99})
    tracker.log(RUN, {"kimg": 0.5, "modes": 7.0, "swd": float("nan")}, step=1)
    tracker.log(RUN, {"kimg": 1.0, "modes": 8.0}, step=2, image=image)
    tracker.log(RUN, {"kimg": 1.5}, step=3, image=folder / "absent.png")
    tracker.finish(RUN, "pruned", {"best_modes": 8, "lr": 2e-4})
    tracker.start("failed", {})
    tracker.finish("failed", "failed", {"reason": "nan_loss"})
    tracker.start("unfinished", {})
    tracker.log("unfinished", {"modes": 3.0}, step=1)
    tracker.close(timeout_seconds=120)
    return folder


def runs(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of every offline run in a study's folder, by the run's name."""
    found = map(wandb_records, folder.glob("wandb/offline-run-*/*.wandb"))
    return {wandb_run(lines)["display_name"]: lines for lines in found}


@pytest.fixture(scope="module")
def written(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return runs(folder)


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    updates: dict[str, Any] = {}
    for line in lines:
        updates |= line.get("summary", {}).get("update", {})
    return updates


def test_a_run_bears_the_trials_name(written: dict[str, list[dict[str, Any]]]) -> None:
    assert set(written) == {RUN, "failed", "unfinished"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("project", "gan"), ("run_group", GROUP), ("job_type", "trial"), ("sweep_id", "sweep-id")],
)
def test_a_run_is_grouped(written: dict[str, list[dict[str, Any]]], field: str, value: object) -> None:
    assert wandb_run(written[RUN])[field] == value


def test_a_run_is_tagged_as_far_as_a_tag_reaches(written: dict[str, list[dict[str, Any]]]) -> None:
    assert wandb_run(written[RUN])["tags"] == ["rings", "folder:/" + "x" * 56, "pruned"]


def test_a_run_holds_its_config(written: dict[str, list[dict[str, Any]]]) -> None:
    config = next(line["run"] for line in written[RUN] if "run" in line)["config"]["update"]
    assert config.keys() - {"_wandb"} == {"lr", "loss", "space", "dataset"}
    assert (config["lr"], config["loss"]) == (2e-4, "wgan_gp")


def test_nan_is_left_out_of_the_history(written: dict[str, list[dict[str, Any]]]) -> None:
    assert wandb_history(written[RUN])[0] == {"kimg": 0.5, "modes": 7}


def test_an_image_is_kept(folder: Path, written: dict[str, list[dict[str, Any]]]) -> None:
    (copy,) = folder.glob("wandb/*/files/" + wandb_history(written[RUN])[1]["samples.path"])
    assert copy.read_bytes() == (folder / "samples.png").read_bytes()


def test_an_absent_image_leaves_the_values(written: dict[str, list[dict[str, Any]]]) -> None:
    assert wandb_history(written[RUN])[2] == {"kimg": 1.5}


def test_kimg_is_the_x_axis(written: dict[str, list[dict[str, Any]]]) -> None:
    metrics = [line["metric"] for line in written[RUN] if "metric" in line]
    assert [m["step_metric"] for m in metrics if m.get("glob_name") == "*"] == ["kimg"]


def test_a_run_holds_its_summary(written: dict[str, list[dict[str, Any]]]) -> None:
    assert summary(written[RUN])["best_modes"] == 8


def test_a_summary_does_not_repeat_the_config(written: dict[str, list[dict[str, Any]]]) -> None:
    assert "lr" not in summary(written[RUN])


@pytest.mark.parametrize(
    ("run", "state"), [(RUN, "pruned"), ("failed", "failed"), ("unfinished", "interrupted")]
)
def test_a_run_says_how_it_ended(written: dict[str, list[dict[str, Any]]], run: str, state: str) -> None:
    assert summary(written[run])["state"] == state
    assert wandb_run(written[run])["tags"][-1] == state


@pytest.mark.parametrize(("run", "code"), [(RUN, 0), ("failed", 1), ("unfinished", 255)])
def test_a_run_ends_as_the_trial_did(written: dict[str, list[dict[str, Any]]], run: str, code: int) -> None:
    assert [line["exit"].get("exit_code", 0) for line in written[run] if "exit" in line] == [code]


def test_close_keeps_what_an_unfinished_run_has(written: dict[str, list[dict[str, Any]]]) -> None:
    assert wandb_history(written["unfinished"]) == [{"modes": 3}]


def test_nothing_is_written_to_the_console_without_a_login(tmp_path: Path) -> None:
    script = tmp_path / "main.py"  # unguarded: importing it again in the child would not be silent
    script.write_text(
        "import pathlib, study.reporting.tracking\n"
        "tracker = study.reporting.tracking.Tracker('auto', pathlib.Path('study'), 'gan', 'group')\n"
        "tracker.start('a', {})\n"
        "tracker.log('a', {'x': 1.0}, 1)\n"
        "tracker.finish('a', 'completed', {})\n"
        "tracker.close(timeout_seconds=120)\n"
    )
    ended = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert len(list(tmp_path.glob("study/wandb/offline-run-*/*.wandb"))) == 1


def test_online_without_a_login_is_offline_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = Tracker("online", tmp_path, "gan", GROUP)
    tracker.start(RUN, {})
    tracker.close(timeout_seconds=120)
    assert capsys.readouterr().err == "W&B has no login here; the runs are kept offline.\n"
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 1


def test_a_sweeps_run_keeps_the_id_its_agent_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    monkeypatch.setenv("WANDB_RUN_ID", "agents-id")
    tracker = Tracker("offline", tmp_path, "gan", GROUP)
    tracker.start(RUN, {})
    tracker.close(timeout_seconds=120)
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert path.name == "run-agents-id.wandb"


def gone(pid: int) -> bool:
    """Whether a process has ended, if only as a zombie that nobody has collected."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip()[:1] in ("", "Z")


def children(pid: int) -> list[int]:
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True)
    pairs = [line.split() for line in table.stdout.splitlines()]
    return [int(child) for child, parent in pairs if int(parent) == pid]


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def pid_of(tracker: Tracker) -> int:
    assert tracker._process is not None
    return tracker._process.pid


def test_close_cuts_a_stuck_child_off_in_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracker = Tracker("offline", tmp_path, "gan", GROUP)
    tracker.start(RUN, {})
    pid = pid_of(tracker)
    wait_for(lambda: list(tmp_path.glob("wandb/offline-run-*/*.wandb")))
    (core,) = children(pid)
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    tracker.close(timeout_seconds=2.0)
    assert time.monotonic() - began <= 2.0
    wait_for(lambda: gone(pid) and gone(core), seconds=2.0)
    assert capsys.readouterr().err == "W&B tracking was cut off, not done after 2 s.\n"


# Below, a module of that name stands in for wandb: it starts at once and has no network to need.

ONLINE = """
import json, pathlib, types

class Error(Exception): ...

def Settings(**given):
    return types.SimpleNamespace(**{"mode": "online", **given})

def setup(settings=None):
    global kept
    kept = settings or kept
    return types.SimpleNamespace(settings=kept)

def login(prompt, verify):
    return True

def init(**options):
    here = pathlib.Path(__file__).parent
    with (here / "inits.jsonl").open("a") as file:
        file.write(json.dumps(options, default=str) + "\\n")
    if options["mode"] == "online" and (here / "unreachable").exists():
        raise Error("no answer")
    if "settings" in options and (here / "deleted").exists():
        raise Error("no such sweep")
    return types.SimpleNamespace(summary={}, config={}, finish=lambda exit_code: None)

def sweep(*given, **options):
    here = pathlib.Path(__file__).parent
    with (here / "sweeps.jsonl").open("a") as file:
        file.write(json.dumps([*given, options]) + "\\n")
    if (here / "refused").exists():
        raise ValueError("no permission")
    return f"id-{len((here / 'sweeps.jsonl').read_text().splitlines())}"

def teardown(): ...
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def write(source: str) -> None:
        (tmp_path / "wandb.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)

    return write


def inits(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "inits.jsonl").read_text().splitlines()]


SWEEPS = {"a": {"method": "bayes"}, "b": {"method": "random"}}


def track_sweeps(folder: Path, mode: str = "auto") -> None:
    """A session of a study of two spaces, with a trial of each."""
    tracker = Tracker(mode, folder, "gan", GROUP)
    tracker.make_sweeps(SWEEPS)
    for space in SWEEPS:
        tracker.start(space, {"space": space})
    tracker.close(timeout_seconds=120)


def test_a_resumed_study_has_the_sweeps_that_it_made(tmp_path: Path, stand_in: Callable[[str], None]) -> None:
    stand_in(ONLINE)
    for _ in range(2):
        track_sweeps(tmp_path / "study")
    made = [json.loads(line) for line in (tmp_path / "sweeps.jsonl").read_text().splitlines()]
    assert made == [[sweep, {"project": "gan"}] for sweep in SWEEPS.values()]
    settings = [options["settings"] for options in inits(tmp_path)]
    assert (
        settings
        == ["namespace(mode='online', sweep_id='id-1')", "namespace(mode='online', sweep_id='id-2')"] * 2
    )


def test_a_server_that_makes_no_sweep_is_told_of_once(
    tmp_path: Path, stand_in: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(ONLINE)
    (tmp_path / "refused").touch()
    track_sweeps(tmp_path)
    assert [(options["mode"], options.get("settings")) for options in inits(tmp_path)] == [
        ("online", None)
    ] * 2
    line = "W&B makes no sweep (ValueError: no permission); the runs belong to none.\n"
    assert capsys.readouterr().err == line


def test_a_sweep_that_was_deleted_leaves_the_runs_online(
    tmp_path: Path, stand_in: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(ONLINE)
    (tmp_path / "deleted").touch()
    track_sweeps(tmp_path)
    tried = [(options["name"], options["mode"], "settings" in options) for options in inits(tmp_path)]
    assert tried == [("a", "online", True), ("a", "online", False), ("b", "online", False)]
    line = "W&B takes no run of the study's sweeps (Error: no such sweep); the runs belong to none.\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(("mode", "agent"), [("offline", False), ("auto", True)])
def test_no_sweep_is_made_offline_or_under_an_agent(
    tmp_path: Path, stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, mode: str, agent: bool
) -> None:
    stand_in(ONLINE)
    if agent:
        monkeypatch.setenv("WANDB_SWEEP_ID", "agents-sweep")
    track_sweeps(tmp_path, mode)
    assert not (tmp_path / "sweeps.jsonl").exists()
    assert not any("settings" in options for options in inits(tmp_path))


def test_a_sweep_is_its_space_but_the_study_counts_and_stops_its_trials() -> None:
    halving = {"type": "hyperband", "min_iter": 1}
    space = {**small(), "early_terminate": halving, "run_cap": 9, "metric": {"name": "w1"}}
    plan = study_plan(spaces={"a": space}, metric="hq")
    assert sweep_of(plan, "a") == {
        **small(),
        "name": "mine a",
        "metric": {"name": "objective", "goal": "maximize"},
    }


def test_a_config_has_each_hyperparameter_once() -> None:
    plan = trial_plan()
    config = config_of(plan.to_dict())
    assert config["lr_g"] == plan.config.lr_g
    assert "config" not in config


@pytest.mark.parametrize(("second", "same"), [("a", True), ("b", False)])
def test_online_a_resumed_study_continues_its_own_runs_only(
    tmp_path: Path, stand_in: Callable[[str], None], second: str, same: bool
) -> None:
    stand_in(ONLINE)
    for folder in ("a", second):
        tracker = Tracker("auto", tmp_path / folder, "gan", GROUP)
        tracker.start(RUN, {})
        tracker.close(timeout_seconds=120)
    first, again = inits(tmp_path)
    assert first["resume"] == again["resume"] == "allow"
    assert (first["id"] == again["id"]) is same


def test_offline_a_run_tried_again_gets_a_new_id(tmp_path: Path, stand_in: Callable[[str], None]) -> None:
    stand_in(ONLINE)
    tracker = Tracker("offline", tmp_path, "gan", GROUP)
    tracker.start(RUN, {})
    tracker.start(RUN, {})
    tracker.close(timeout_seconds=120)
    first, again = inits(tmp_path)
    assert first["id"] != again["id"]


def test_a_server_out_of_reach_leaves_the_study_offline(
    tmp_path: Path, stand_in: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(ONLINE)
    (tmp_path / "unreachable").touch()
    tracker = Tracker("auto", tmp_path, "gan", GROUP)
    tracker.start("a", {})
    tracker.start("b", {})
    tracker.close(timeout_seconds=120)
    assert [options["mode"] for options in inits(tmp_path)] == ["online", "offline", "offline"]
    line = "W&B cannot be reached (Error: no answer); runs are kept offline from now.\n"
    assert capsys.readouterr().err == line


def test_a_full_queue_drops_and_counts(
    tmp_path: Path,
    stand_in: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_in("import time; time.sleep(60)")
    monkeypatch.setattr("study.reporting.tracking.QUEUE_MESSAGES", 10)
    tracker = Tracker("offline", tmp_path, "gan", GROUP)
    big: dict[str, object] = {
        "text": "x" * 2_000_000
    }  # more than a pipe holds: the feeding thread blocks on it
    tracker.start(RUN, big)
    wait_for(tracker._outbox.empty)
    for step in range(13):
        tracker.log(RUN, {"modes": 1.0}, step)
    tracker.close(timeout_seconds=0.5)
    assert "3 messages were dropped" in capsys.readouterr().err


def test_a_child_that_dies_is_told_of_once(
    tmp_path: Path, stand_in: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in("import time; time.sleep(60)")
    tracker = Tracker("offline", tmp_path, "gan", GROUP)
    pid = pid_of(tracker)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: gone(pid))
    tracker.start(RUN, {})
    tracker.log(RUN, {"modes": 1.0}, step=1)
    tracker.close(timeout_seconds=120)
    assert capsys.readouterr().err == STOPPED.format("its process ended with code -9")


def test_a_fault_in_wandb_is_told_of_once(
    tmp_path: Path, stand_in: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in("raise ImportError('no such library')")
    tracker = Tracker("offline", tmp_path, "gan", GROUP)
    pid = pid_of(tracker)
    wait_for(lambda: gone(pid))
    tracker.start(RUN, {})
    tracker.finish(RUN, "completed", {})
    tracker.close(timeout_seconds=120)
    assert capsys.readouterr().err == STOPPED.format("ImportError: no such library")


def test_a_ctrl_c_does_not_reach_the_child(
    tmp_path: Path, stand_in: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in("import time; time.sleep(60)")
    tracker = Tracker("offline", tmp_path, "gan", GROUP)
    for _ in range(10):  # from its first moment on
        os.kill(pid_of(tracker), signal.SIGINT)
        time.sleep(0.05)
    tracker.close(timeout_seconds=0.5)
    assert "cut off" in capsys.readouterr().err  # it was there until then


def test_close_can_be_called_again(tmp_path: Path, stand_in: Callable[[str], None]) -> None:
    stand_in("import time; time.sleep(60)")
    tracker = Tracker("offline", tmp_path, "gan", GROUP)
    tracker.close(timeout_seconds=0.2)
    tracker.close(timeout_seconds=120)
    tracker.log(RUN, {"modes": 1.0}, step=1)
    assert tracker._process is None


@pytest.mark.parametrize(("mode", "variable"), [("disabled", ""), ("auto", "disabled")])
def test_disabled_starts_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, variable: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", variable)
    tracker = Tracker(mode, tmp_path, "gan", GROUP)
    tracker.start(RUN, {})
    tracker.log(RUN, {"modes": 1.0}, step=1)
    tracker.finish(RUN, "completed", {})
    assert tracker._process is None
    tracker.close(timeout_seconds=120)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=", ".join(WANDB_MODES)):
        Tracker("on", tmp_path, "gan", GROUP)

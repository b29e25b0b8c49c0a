"""--plugin FILE.py: a user's own code is trained, recorded with its hash, and run only when it is given."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

import study
from study import plugins, results, train, tune
from study.command import run_command
from study.data import load
from study.declared import describe
from study.errors import UserError
from study.machine.files import read_json
from study.metrics.judge.evaluator import evaluator_for
from study.models import MODELS
from study.plugins import REGISTRIES, Plugin, read, use
from study.records.study_folder import StudyFolder
from study.records.trial_folder import TrialFolder
from study.training import checkpoint
from study.training.pack import Pack
from study.training.streams import generator_for
from tests.packs import CPU
from tests.studies import small, study_plan

README = (Path(__file__).parents[1] / "README.md").read_text()
HINGE = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]  # type: ignore[index]
CUBE = (
    Path(__file__).with_name("own.py").read_text()
)  # a dataset, metrics and a model with the package's networks
POINTS = ["--model", "hinge", "--dataset", "ring8"]
BRIEF = ["--seeds", "2", "--kimg", "0.512", "--eval-kimg", "0.256"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own; what plugins declare is taken back."""
    monkeypatch.chdir(tmp_path)
    yield
    forget()
    load.cache_clear()
    evaluator_for.cache_clear()


def forget() -> None:
    """As in a process that was given no plugin."""
    plugins._IN_USE.clear()
    for registry in REGISTRIES:
        for name in {*registry} - registry.built_in:
            del registry[name]
        registry._recalled.clear()
    for name in [name for name in sys.modules if name.startswith("study_plugin_")]:
        del sys.modules[name]


def file(source: str = HINGE, name: str = "mine.py") -> str:
    Path(name).write_text(source)
    return name


def trained(*arguments: str) -> TrialFolder:
    """What study.train makes of them."""
    assert run_command(lambda: train.main([*BRIEF, *arguments])) == 0
    (path,) = Path("results/train/trials").iterdir()
    return TrialFolder(path)


Capture = pytest.CaptureFixture[str]


def test_the_readmes_plugin_is_trained(capsys: Capture) -> None:
    folder = trained("--plugin", file(), *POINTS, "--batch-size", "32")
    assert len(folder.rows()) == 6
    out = capsys.readouterr().out
    assert "the generator of hinge: members are computed at once, by torch.func" in out
    assert "the critic of hinge: members are computed one after another" in out
    assert "fp32" in out
    record = {"path": str(Path("mine.py").resolve()), "sha256": hashlib.sha256(HINGE.encode()).hexdigest()}
    assert read_json(folder.path / "config.json")["plugins"] == [record]


def test_a_trial_is_repeated_with_the_plugin_that_it_was_made_with(capsys: Capture) -> None:
    replay = ["--replay", str(trained("--plugin", file(), *POINTS).path)]
    assert run_command(lambda: train.main([*replay, "--plugin", "mine.py"])) == 0
    assert "identical to the bit: 3 evaluations of 2 seeds" in capsys.readouterr().out
    forget()
    assert run_command(lambda: train.main(replay)) == 2
    assert re.search(r"--plugin .*mine\.py \(sha256 \w+\): give it again", capsys.readouterr().err)
    assert run_command(lambda: train.main([*replay, "--plugin", file(HINGE + "# changed\n")])) == 2
    assert "mine.py differs: give the file as it was" in re.sub(r" \(.*?\)", "", capsys.readouterr().err)


def test_a_dataset_metrics_and_a_hyperparameter_of_ones_own_are_options() -> None:
    chosen = ["--model", "hinge", "--dataset", "cube", "--metric", "shift", "--margin", "0.7"]
    folder = trained("--plugin", file(CUBE), *chosen)
    assert folder.plan().config.margin == 0.7
    assert {"shift", "critic_gap"} <= folder.rows()[-1].keys()


@pytest.mark.parametrize(("source", "dataset"), [(HINGE, "ring8"), (CUBE, "cube")])
def test_a_trained_network_is_the_users_module_again(source: str, dataset: str) -> None:
    folder = trained("--plugin", file(source), "--model", "hinge", "--dataset", dataset)
    plan = folder.plan()
    pack = Pack([plan.config] * 2, plan.seeds, plan.study_seed, load(dataset, CPU).sample_shape, CPU)
    checkpoint.load(pack, folder.checkpoint)
    n = evaluator_for(dataset, CPU).samples
    samples = pack.sample(n)
    forget()
    with pytest.raises(UserError, match=r"was made with --plugin .*mine\.py \(sha256 \w+\): give it again"):
        study.load(folder.path)
    generator = study.load(folder.path, seed=1, evaluation="last", plugins=["mine.py"])
    latents = torch.randn(
        n, plan.config.latent_dim, generator=generator_for(plan.study_seed, 1, "evaluation", CPU)
    )
    torch.testing.assert_close(generator(latents), samples[1], rtol=0, atol=1e-5)
    critic = study.load(folder.path, seed=1, evaluation="last", plugins=["mine.py"], critic=True)
    pack.critic.refresh()
    scores = pack.critic.network.eval()(samples)[1]
    torch.testing.assert_close(critic(samples[1]).flatten(), scores, rtol=1e-5, atol=1e-5)


def test_tables_are_rebuilt_without_the_plugin() -> None:
    folder = trained("--plugin", file(CUBE), "--model", "hinge", "--dataset", "cube", "--margin", "0.7")
    Path("mine.py").unlink()
    forget()
    assert run_command(lambda: results.main(["results/train"])) == 0
    trials = pd.read_parquet("results/train/trials.parquet")
    assert trials["margin"].tolist() == [0.7]
    assert trials["state"].tolist() == ["completed"]
    assert trials["shift"].notna().all()
    assert not plugins._IN_USE
    with pytest.raises(UserError, match="hinge is declared in a plugin: give its file with --plugin"):
        MODELS["hinge"].critic_loss(None, None, None)  # type: ignore[arg-type]
    assert folder.plan().config.model == "hinge"


def test_a_folder_alone_runs_no_code(tmp_path: Path) -> None:
    """Not even that of a file that lies where study.json says."""
    ran = tmp_path / "ran"
    file(f"from pathlib import Path\nPath({str(ran)!r}).touch()\n{HINGE}")
    folder = trained("--plugin", "mine.py", *POINTS)
    ran.unlink()
    forget()
    run_command(lambda: results.main(["results/train"]))
    with pytest.raises(UserError, match="give it again"):
        train.main(["--resume", str(folder.path)])
    assert not ran.exists()


# To resume


def interrupted(monkeypatch: pytest.MonkeyPatch) -> str:
    """A trial that was stopped before its end; the plugin is forgotten."""

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "_train", stop)
        assert run_command(lambda: train.main([*BRIEF, "--plugin", file(), *POINTS])) == 130
    forget()
    (path,) = Path("results/train/trials").iterdir()
    return str(path)


def test_an_interrupted_trial_says_how_to_go_on_with_its_plugin(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    interrupted(monkeypatch)
    assert capsys.readouterr().out.endswith(f" --plugin {Path('mine.py').resolve()}\n")


Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: Capture) -> Refused:
    """The one sentence of a command that is refused."""

    def refuse(*arguments: str, main: Callable[[list[str]], int] = train.main) -> str:
        capsys.readouterr()
        before = sorted(Path().rglob("*"))
        try:
            status: object = run_command(lambda: main(list(arguments)))
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert sorted(Path().rglob("*")) == before
        return err

    return refuse


def test_resume_asks_for_the_plugin_and_takes_it_wherever_it_is(
    monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    trial = interrupted(monkeypatch)
    assert re.search(
        r"was made with --plugin /.*mine.py \(sha256 \w{12}\): give it again", refused("--resume", trial)
    )
    Path("mine.py").rename("moved.py")
    assert run_command(lambda: train.main(["--resume", trial, "--plugin", "moved.py"])) == 0


def test_resume_refuses_a_changed_plugin_and_one_more(
    monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    trial = interrupted(monkeypatch)
    same, other = file(name="same.py"), file(CUBE.replace('"hinge"', '"other"'), "other.py")
    assert "made without --plugin" in refused("--resume", trial, "--plugin", same, "--plugin", other)
    forget()
    changed = file(HINGE.replace("128", "64"))
    assert f"{Path('mine.py').resolve()} (sha256" in refused("--resume", trial, "--plugin", changed)
    assert "differs: give the file as it was" in refused("--resume", trial, "--plugin", changed)


def test_a_study_asks_for_its_plugin_too(refused: Refused) -> None:
    use(read(Path(file())))
    recorded, declared = [read(Path("mine.py")).recorded()], describe("ring8", ["hinge"])
    plan = study_plan(spaces={"a": small(model="hinge")}, plugins=recorded, declared=declared)
    StudyFolder(Path("s")).create(plan, [], {})
    forget()
    assert "give it again" in refused("--resume", "s", main=tune.main)


# Bad input


WRONG = {
    "mine.py can't be read: No such file": None,
    "mine.txt: a plugin is a Python file": "mine.txt",
    "can't be imported: ZeroDivisionError: division by zero (HERE:2)": "\n1 / 0",
    "can't be imported: ModuleNotFoundError: No module named 'nothing' (HERE:1)": "import nothing",
    "can't be imported: SyntaxError: invalid syntax (HERE:1)": "a = = 1",
    "can't be imported: SystemExit: 3 (HERE:1)": "raise SystemExit(3)",
    "can't be imported: JSONDecodeError: Expecting value: line 1 column 1 (char 0) (HERE:2)": (
        "import json\njson.loads('')"
    ),
    "missing 1 required keyword-only argument: 'critic_loss' (HERE:": HINGE.replace(
        "critic_loss=critic_loss,", ""
    ),
    "declares no model, dataset or metric": "from study.models.dcgan import DCGAN",
    "it declares the model dcgan a second time": HINGE.replace('"hinge"', '"dcgan"'),
    "the model hinge means something else by lambda_gp": HINGE.replace(
        "    defaults=", '    own=(Hyperparameter(name="lambda_gp", meaning="", default=1.0),), defaults='
    ).replace("import Model", "import Hyperparameter, Model"),
    "kimg is a column already": CUBE.replace("def shift(", "def kimg("),
    "must turn (2, 2) into (2, 2), and gives (2, 3)": HINGE.replace(
        "nn.Linear(128, math.prod(sample_shape))", "nn.Linear(128, 3)"
    ).replace(", nn.Unflatten(1, sample_shape)", ""),
    "critic of hinge can't be built for samples (2,): NameError: name 'nm' is not defined (HERE:": (
        HINGE.replace("first, last = nn", "first, last = nm")
    ),
    "the generator_loss of hinge must give one value per member, (2,) for two, and gives ()": HINGE.replace(
        "-fake_scores.mean(1)", "-fake_scores.mean()"
    ),
    "the critic_loss of hinge mixes members": HINGE.replace(
        "(1 + fake_scores).relu().mean(1)", "fake_scores.mean()"
    ),
}


@pytest.mark.parametrize("main", [train.main, tune.main], ids=["train", "tune"])
@pytest.mark.parametrize("said", WRONG)
def test_a_wrong_plugin_is_refused_in_a_sentence(
    said: str, main: Callable[[list[str]], int], refused: Refused
) -> None:
    source = WRONG[said]
    path = "mine.txt" if source == "mine.txt" else "mine.py" if source is None else file(source)
    dataset = "cube" if source is not None and "CUBE" in source else "ring8"
    Path("space.yaml").write_text(yaml.safe_dump(small(model="hinge")))
    what = ["--model", "hinge"] if main is train.main else ["--space", "space.yaml"]
    error = refused("--plugin", path, "--dataset", dataset, *what, main=main)
    assert said.replace("HERE", str(Path("mine.py").resolve())) in error


def test_a_plugin_is_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beside it would be no part of its hash."""
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("beside_it.py").write_text("NAME = 'hinge'")
    with pytest.raises(UserError, match=r"mine\.py imports beside_it\.py, which lies beside it"):
        use(read(Path(file("import beside_it\n" + HINGE))))
    assert "hinge" not in MODELS


def test_bf16_is_refused_for_networks_of_ones_own(refused: Refused) -> None:
    error = refused("--plugin", file(), *POINTS, "--precision", "bf16")
    assert "the networks that hinge brings compute in fp32 alone" in error


def test_a_law_of_initial_weights_is_refused_for_networks_of_ones_own(refused: Refused) -> None:
    error = refused("--plugin", file(), *POINTS, "--init", "he")
    assert "init = 'he': hinge has no use for init" in error


def test_networks_of_ones_own_have_no_law_of_initial_weights_in_tables_without_the_plugin() -> None:
    trained("--plugin", file(), *POINTS)
    forget()
    assert run_command(lambda: results.main(["results/train"])) == 0
    assert pd.read_parquet("results/train/trials.parquet")["init"].isna().all()


def test_a_plugin_runs_once_per_process_and_only_its_source_is_sent(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    plugin = Plugin(
        "/not/here.py", f"from pathlib import Path\nPath({str(ran)!r}).touch(exist_ok=False)\n{HINGE}"
    )
    use(plugin)
    sent = plugins.to_send([plugin.recorded()])
    forget()
    ran.unlink()
    for _ in range(2):
        plugins.use_sent(sent)
    assert MODELS["hinge"].has_own_networks


def test_help_lists_what_a_plugin_declares() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "study.train", "--plugin", file(CUBE), "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "--margin" in out
    assert "noise:<dimensions>" in out

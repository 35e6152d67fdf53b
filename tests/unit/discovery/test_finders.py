"""Each kind of pipeline is recognised, described without being run, and written as a target file that loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.discovery import finders, mirror
from chaos_tasks.discovery.found import Pipeline
from chaos_tasks.discovery.knowing import know
from chaos_tasks.discovery.sources import source_of
from chaos_tasks.discovery.suggesting import suggest
from chaos_tasks.discovery.writing import content_lines, slug, target_file
from chaos_tasks.errors import SetupError
from chaos_tasks.loading import load_target
from chaos_tasks.model.target import AirflowDagWorkload, CommandWorkload, MlflowProjectWorkload, Target
from chaos_tasks.settings import TargetEntry
from chaos_tasks.targets import dvc, git
from chaos_tasks.workloads.aside import _parse
from chaos_tasks.workloads.command import render
from tests.format_data import image

TRAIN = """\
import argparse, json
import pandas as pd
from sklearn.linear_model import LogisticRegression
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()
table = pd.read_csv("data/rows.csv")
model = LogisticRegression().fit(table.drop("late", axis=1), table["late"])
json.dump({"auc": 0.9}, open("metrics.json", "w"))
raise SystemExit("was run")
"""

DVC = """\
stages:
  report: {cmd: python report.py, deps: [model.pkl]}
  evaluate:
    cmd: python eval.py
    deps: [model.pkl, clean.csv]
    metrics: [{scores.json: {cache: false}}]
  train: {cmd: python train.py, deps: [clean.csv], outs: [model.pkl], params: [train.seed]}
  clean: {cmd: "python clean.py\\n  --in data/rows.csv", deps: [data/rows.csv], outs: [clean.csv]}
"""

MLPROJECT = """\
name: x
entry_points:
  main:
    parameters: {alpha: {type: float, default: 0.5}, random_state: int}
    command: python train.py --alpha {alpha} --seed {random_state}
"""

DAG = """\
from airflow.sdk import DAG
from airflow.providers.standard.operators.bash import BashOperator
with DAG(dag_id="credit_daily"):
    BashOperator(task_id="load", bash_command="echo {{ ds }}")
    BashOperator(task_id="train", bash_command="cd ../code && python train.py --fast")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "My Model"
    (root / "data").mkdir(parents=True)
    (root / "data" / "rows.csv").write_text("a,late\n1,0\n2,1\n")
    (root / "train.py").write_text(TRAIN)
    return root


def _load(pipeline: Pipeline, tmp_path: Path) -> tuple[Target, str]:
    name = slug(pipeline.name)
    text = target_file(name, pipeline, source_of(pipeline, tmp_path / "home", name))
    path = tmp_path / "squall.target.yaml"
    path.write_text(text, encoding="utf-8")
    servers = {"SQUALL_HOME": str(tmp_path / "home"), "SQUALL_AIRFLOW_URL": "http://127.0.0.1:1"}
    return load_target(path, servers), text


def _run(target: Target) -> list[str]:
    """The commands, as the workload itself will understand them."""
    assert isinstance(target.workload, CommandWorkload)
    values = dict.fromkeys(("squall", "python", "data", "out", "checkpoints", "repo", "prepared", "sealed"), "x")
    words = render(target, {**values, "seed": "7"})
    run: list[str] = _parse(words[words.index("chaos_tasks.workloads.aside") + 1 :]).run
    return run


def test_a_script(folder: Path, tmp_path: Path) -> None:
    target, text = _load(finders.choose(str(folder)).find(str(folder)), tmp_path)
    assert target.name == "my-model"
    assert target.source.data == ("data/rows.csv",)
    assert _run(target) == ["python train.py --seed 7"]
    assert "--metrics metrics.json" in text
    assert content_lines(text) <= 25


def test_a_dvc_pipeline_runs_what_leads_to_its_metrics_in_order(folder: Path, tmp_path: Path) -> None:
    (folder / "dvc.yaml").write_text(DVC)
    pipeline = finders.choose(str(folder)).find(str(folder))
    assert pipeline.kind == "dvc"
    target, text = _load(pipeline, tmp_path)
    assert _run(target) == ["python clean.py --in data/rows.csv", "python train.py", "python eval.py"]
    assert "--param train.seed={seed}" in text
    assert "--metrics scores.json" in text
    assert target.source.data == ("data/rows.csv",)
    assert content_lines(text) <= 25


def test_an_mlproject_that_writes_its_numbers_is_run_by_its_command(folder: Path, tmp_path: Path) -> None:
    (folder / "MLproject").write_text(MLPROJECT)
    pipeline = finders.choose(str(folder)).find(str(folder))
    assert pipeline.kind == "mlproject"
    target, _ = _load(pipeline, tmp_path)
    assert _run(target) == ["python train.py --alpha 0.5 --seed 7"]


LOGS = """\
import argparse, mlflow
from sklearn.svm import SVC
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int)
mlflow.log_metric("auc", SVC().fit([[1]], [1]).score([[1]], [1]))
"""

LOGGING_PROJECT = """\
name: x
entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.5}
      model: {type: string, default: rf}
      rows: {type: path, default: data/rows.csv}
      output_dir: path
    command: python logs.py {alpha} {model} {rows} {output_dir}
"""


def test_an_mlproject_that_logs_its_numbers_is_run_as_mlflow_does(folder: Path, tmp_path: Path) -> None:
    (folder / "MLproject").write_text(LOGGING_PROJECT)
    (folder / "logs.py").write_text(LOGS)
    target, text = _load(finders.choose(str(folder)).find(str(folder)), tmp_path)
    workload = target.workload
    assert isinstance(workload, MlflowProjectWorkload)
    assert workload.own_copy
    assert workload.parameters == {"alpha": "0.5", "model": "rf", "rows": "{data}/data/rows.csv"}
    assert (workload.seed_param, workload.out_param) == ("seed", "output_dir")
    assert target.source.data == ("data/rows.csv",)
    assert "# rows: its default names a data file" in text
    assert "MLFLOW_TRACKING_URI" not in workload.environment
    assert "Not found" not in text.replace("source.sealed", "")
    assert content_lines(text) <= 25


def test_an_mlproject_without_a_seed_says_so(folder: Path, tmp_path: Path) -> None:
    (folder / "MLproject").write_text(LOGGING_PROJECT)
    (folder / "logs.py").write_text(LOGS.replace('"--seed"', '"--other"'))
    target, text = _load(finders.choose(str(folder)).find(str(folder)), tmp_path)
    assert isinstance(target.workload, MlflowProjectWorkload)
    assert target.workload.seed_param is None
    assert "{seed}: nothing takes it" in text


def test_a_dag_is_found_by_its_id_without_airflow(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "credit.py").write_text(DAG)
    folder.rename(tmp_path / "code")
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(dags))
    pipeline = finders.choose("credit_daily").find("credit_daily")
    target, text = _load(pipeline, tmp_path)
    assert target.name == "credit-daily"
    assert _run(target) == ["python train.py --fast --seed 7"]
    assert "not load" in text


CALLS = """\
from airflow.sdk import DAG
from airflow.providers.standard.operators.python import PythonOperator
from src.model import load, fit_it
with DAG("clicks_daily"):
    PythonOperator(task_id="load", python_callable=load) >> PythonOperator(task_id="fit", python_callable=fit_it)
"""
MODULE = """\
import os
ROWS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data", "rows.csv")
def fit_it(model, x, y):
    model.fit(x, y)
    print(f"Best with accuracy {model.score(x, y):.4f}")
"""


def test_a_dag_of_python_tasks_is_run_as_a_whole_in_a_copy(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dags = folder / "dags"
    (dags / "src").mkdir(parents=True)
    (folder / "data").rename(dags / "data")
    (folder / ".git").mkdir()
    (dags / "clicks.py").write_text(CALLS)
    (dags / "src" / "model.py").write_text(MODULE)
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(dags))
    target, text = _load(finders.choose("clicks_daily").find("clicks_daily"), tmp_path)
    assert _run(target) == ["python -m airflow db migrate", "python -m airflow dags test clicks_daily"]
    assert target.source.data == ("dags/data/rows.csv",)
    assert target.workload.environment["AIRFLOW__CORE__DAGS_FOLDER"] == "{out}/tree/dags"
    assert "--printed 'best_with_accuracy=" in text
    assert content_lines(text) <= 25
    (dags / "src" / "model.py").write_text("x = 1\n")
    with pytest.raises(SetupError, match="no module beside it trains; its tasks: load"):
        finders.choose("clicks_daily").find("clicks_daily")


STRANGER = Path(__file__).parents[2] / "system" / "stranger_dags" / "loan_scoring.py"


def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    """A DAG file whose data lie in a folder of their own."""
    for name in ("loans.csv", "holdout.csv"):
        (tmp_path / "srv").mkdir(exist_ok=True)
        (tmp_path / "srv" / name).write_text("id,income,bad\n1,2,0\n")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "loans.py").write_text(text.replace("/srv/credit", str(tmp_path / "srv")))
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path / "dags"))
    return tmp_path / "srv"


def test_a_dag_whose_params_carry_data_and_results_is_tried_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    srv = stranger(tmp_path, monkeypatch, STRANGER.read_text())
    pipeline = finders.choose("loan_scoring").find("loan_scoring")
    target, text = _load(pipeline, tmp_path)
    assert pipeline.root == srv
    assert isinstance(target.workload, AirflowDagWorkload)
    assert target.workload.conf == {"data": "{data}/loans.csv", "out": "{out}", "seed": "{seed}"}
    assert target.workload.metrics_task == "evaluate"
    assert target.source.data == ("loans.csv",)  # not the holdout
    assert "# out: line 4" in text
    assert "by default loans.csv" in text


def test_a_dag_that_cannot_be_told_where_its_results_go_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger(tmp_path, monkeypatch, STRANGER.read_text().replace('"out": Param', '"desk": Param'))
    pipeline = finders.choose("loan_scoring").find("loan_scoring")
    assert pipeline.dag is None
    (why,) = [one.why for one in pipeline.missing if one.field == "workload.dag_id"]
    assert why == "none of its params says where results go (they are: data, holdout, desk, seed)"


def test_the_mirror_leaves_the_folder_as_it_is_and_is_the_same_twice(folder: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    pipeline = finders.choose(str(folder)).find(str(folder))
    source_of(pipeline, tmp_path / "home", "m")
    copy = tmp_path / "home" / "mirrors" / "m"
    first = git.commit_of(copy, "HEAD")
    source_of(pipeline, tmp_path / "home", "m")
    assert git.commit_of(copy, "HEAD") == first
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert git.show(copy, "HEAD", "data/rows.csv") is None
    assert "md5:" in (git.show(copy, "HEAD", "data/rows.csv.dvc") or "")


def test_files_of_ours_make_no_mirror_old_and_are_not_in_it_but_the_pipelines_are(folder: Path, tmp_path: Path) -> None:
    mirror.make(folder, tmp_path / "mirror", ["data/rows.csv"])
    before = mirror.digest_of(folder)
    (folder / "squall.toml").write_text("[squall]\n")
    (folder / "experiments").mkdir()
    (folder / "experiments" / "flip.yaml").write_text("version: 1\nname: flip\nhypothesis: it holds\n")
    assert mirror.digest_of(folder) == before
    (folder / "experiments" / "model.yaml").write_text("depth: 3\n")
    assert mirror.digest_of(folder) != before
    mirror.make(folder, tmp_path / "mirror", ["data/rows.csv"])
    assert git.show(tmp_path / "mirror", "HEAD", "experiments/flip.yaml") is None
    assert git.show(tmp_path / "mirror", "HEAD", "experiments/model.yaml") == "depth: 3\n"


@pytest.mark.parametrize(
    ("content", "dialect", "why"),
    [
        ("a,late\ncaf\xe9,1\n".encode("latin-1"), {"encoding": "latin-1"}, "it is no UTF-8"),
        (b"5.1,3.5,a\n4.9,,b\n4.7,3.2,a\n", {"header": False}, "its first line holds numbers"),
        (b"a;late\n1,5;0\n2,5;1\n", {"delimiter": ";"}, "its first line has no comma"),
        (b",0,1\n0,5,6\n1,7,8\n", {}, ""),
        (b"name,late\na,b\nc,d\n", {}, ""),
    ],
)
def test_how_a_csv_file_is_written_is_found_and_said(
    folder: Path, tmp_path: Path, content: bytes, dialect: dict[str, object], why: str
) -> None:
    (folder / "data" / "rows.csv").write_bytes(content)
    target, text = _load(finders.choose(str(folder)).find(str(folder)), tmp_path)
    assert target.source.data == ("data/rows.csv",)
    assert (target.source.csv.model_dump(exclude_defaults=True) if target.source.csv else {}) == dialect
    assert why in text


def test_a_folder_of_images_is_one_piece_of_data_and_its_mirror_can_be_laid_out(folder: Path, tmp_path: Path) -> None:
    for number in range(12):
        file = folder / "pictures" / "train" / ("early", "late")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image(file, number)
    (folder / "train.py").write_text(
        "import os\nfrom x import fit\nTOP = 'pictures'\nfit(os.path.join(TOP, 'train'))\n"
    )
    target, _ = _load(finders.choose(str(folder)).find(str(folder)), tmp_path)
    assert target.source.data == ("pictures/train",)
    assert target.source.format == "images"
    version = dvc.resolve(target.source)
    dvc.export(target.source, version, "pictures/train", tmp_path / "copy")
    before = {path.relative_to(folder / "pictures" / "train"): path.read_bytes() for path in folder.rglob("*.png")}
    copied = {path.relative_to(tmp_path / "copy"): path.read_bytes() for path in (tmp_path / "copy").rglob("*.png")}
    assert copied == before
    assert not list((tmp_path / "home" / "mirrors" / "my-model" / "pictures").rglob("*.png"))
    found = suggest(target, TargetEntry(file="t", environment="dev", families=("data",)), know(target, tmp_path))
    kinds = {one.fault: one for one in found.experiments}
    assert kinds["data.image_damage"].step["params"] == {"path": "pictures/train", "fraction": 0.3, "damage": "noise"}
    assert kinds["data.label_flip"].step["params"]["column"] == "label"
    assert {one.fault for one in found.refused} >= {"data.missing_values", "data.text_damage", "data.schema_drift"}


def test_a_server_in_the_code_is_named_without_its_password(folder: Path, tmp_path: Path) -> None:
    server = "import mlflow\nmlflow.set_tracking_uri('https://me:secret@mlflow.org')\n"
    (folder / "train.py").write_text(server + TRAIN)
    _, text = _load(finders.choose(str(folder)).find(str(folder)), tmp_path)
    assert "line 2 sets the MLflow server https://me@mlflow.org, which no variable redirects" in text
    assert "secret" not in text
    (folder / "dvc.yaml").write_text(DVC)
    _, text = _load(finders.choose(str(folder)).find(str(folder)), tmp_path)
    assert "line 2 of stage train sets the MLflow server" in text


def test_files_that_are_written_in_different_ways_are_not_taken_together(folder: Path, tmp_path: Path) -> None:
    (folder / "data" / "more.csv").write_bytes(b"1;2\n3;4\n5;6\n")
    (folder / "train.py").write_text(TRAIN + 'pd.read_csv("data/more.csv")\n')
    target, text = _load(finders.choose(str(folder)).find(str(folder)), tmp_path)
    assert target.source.data == ("data/rows.csv",)
    assert "without data/more.csv: it is written in another way than data/rows.csv" in text


@pytest.mark.parametrize("where", ["nowhere/at/all", "no_such_dag"])
def test_what_is_nothing_is_answered_with_what_there_could_be(where: str) -> None:
    with pytest.raises(SetupError, match="no pipeline that Squall knows") as caught:
        finders.choose(where)
    assert "dvc.yaml" in caught.value.remedy
    assert "MLproject" in caught.value.remedy


def test_a_folder_whose_scripts_train_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print(1)\n")
    with pytest.raises(SetupError, match="none of the 1 scripts"):
        finders.choose(str(tmp_path)).find(str(tmp_path))

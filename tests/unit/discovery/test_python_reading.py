"""What is read of a script without running it: options, files, printed numbers, seeds, labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.discovery.python_reading import Facts, read
from chaos_tasks.errors import SetupError


def _read(tmp_path: Path, text: str) -> Facts:
    path = tmp_path / "train.py"
    path.write_text(text, encoding="utf-8")
    return read(path)


@pytest.mark.parametrize(
    ("line", "flag", "default", "required"),
    [
        ('parser.add_argument("--seed", type=int, default=7)', "--seed", "7", False),
        ('parser.add_argument("-d", "--data", required=True)', "--data", None, True),
        ('parser.add_argument("table")', "table", None, True),
        ('@click.option("--out", default="o")\ndef f(): ...', "--out", "o", False),
        ('def f(n: int = typer.Option(3, "--epochs")): ...', "--epochs", None, False),
    ],
)
def test_options_of_argparse_click_and_typer(
    tmp_path: Path, line: str, flag: str, default: str | None, required: bool
) -> None:
    (option,) = _read(tmp_path, f"import x\n{line}\n").options
    assert (option.flag, option.default, option.required) == (flag, default, required)


@pytest.mark.parametrize(
    ("line", "name", "printed", "number"),
    [
        ('print("Accuracy:", acc)', "accuracy", "Accuracy: 0.93", "0.93"),
        ('print(f"test AUC = {auc:.3f}")', "test_auc", "test AUC = 0.812", "0.812"),
        ('print("  RMSE: %s" % rmse)', "rmse", "  RMSE: 0.79", "0.79"),
        ('print("val loss {:.2f}".format(x))', "val_loss", "val loss 1e-3", "1e-3"),
        ('logging.info(f"F1 score: {f1}")', "f1_score", "INFO F1 score: nan", "nan"),
        ("print(clf.score(X, y))", "score", "0.98", "0.98"),
        ("print(mse)", "mse", "0.25", "0.25"),
        ("print(accuracy_result * 100)", "accuracy_result", "[94.1 95.25  9.e1]", "94.1"),
    ],
)
def test_a_printed_number_gets_a_name_and_a_pattern_that_reads_it(
    tmp_path: Path, line: str, name: str, printed: str, number: str
) -> None:
    import re

    facts = _read(tmp_path, f"import a\n{line}\n")
    assert list(facts.printed) == [name]
    found = re.search(facts.printed[name].text, printed)
    assert found is not None
    assert found[1] == number


def test_words_that_are_no_measure_are_not_read_as_one(tmp_path: Path) -> None:
    assert not _read(tmp_path, 'import a\nprint("Rows:", n)\nprint("done")\nprint(rows)\n').printed


def test_paths_put_together_are_known_and_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    facts = _read(
        tmp_path,
        f"""import os
open({str(mark)!r}, "w")
BASE = "data"
a = os.path.join(BASE, "raw", "a.csv")
b = os.path.join(os.path.dirname(os.path.abspath(__file__)), "b.csv")
c = Path(BASE) / "c.csv"
""",
    )
    texts = {one.text for one in facts.texts}
    assert {"data/raw/a.csv", "@/b.csv", "data/c.csv"} <= texts
    assert not mark.exists()


def test_seeds_environment_labels_and_places_elsewhere(tmp_path: Path) -> None:
    facts = _read(
        tmp_path,
        """import os, numpy as np, mlflow
np.random.seed(40)
split(x, random_state=42)
key = os.environ["API_KEY"]
url = os.getenv("URL", "")
y = df["late"]
X = df.drop(["late"], axis=1)
mlflow.start_run()
s = fetch_openml("adult")
model.fit(X, y)
""",
    )
    assert [one.text for one in facts.fixed_seeds] == ["seed 40", "split 42"]
    assert [one.text for one in facts.required_environment] == ["API_KEY"]
    assert {one.text for one in facts.environment} == {"API_KEY", "URL"}
    assert {one.text for one in facts.labels} == {"late"}
    assert {one.text for one in facts.elsewhere} == {"mlflow", "the network"}
    assert facts.trains


@pytest.mark.parametrize(
    ("code", "server"),
    [
        ('import mlflow\nURI = "http://10.0.0.1:5000"\nmlflow.set_tracking_uri(URI)\n', "http://10.0.0.1:5000"),
        ('import mlflow\n\nmlflow.set_tracking_uri(uri="databricks")\n', "databricks"),
        ('import os\n\nos.environ["MLFLOW_TRACKING_URI"] = "https://x.org"\n', "https://x.org"),
        ('import dagshub\n\ndagshub.init(repo_owner="me", repo_name="it", mlflow=True)\n', "DagsHub"),
        ('import mlflow, os\n\nmlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])\n', None),
        ('import mlflow\n\nmlflow.set_tracking_uri("sqlite:///mlflow.db")\n', None),
    ],
)
def test_a_server_that_stands_in_the_code_is_seen(tmp_path: Path, code: str, server: str | None) -> None:
    (tmp_path / "train.py").write_text(code)
    found = read(tmp_path / "train.py").servers
    assert [(one.text, one.line) for one in found] == ([(server, 3)] if server else [])


def test_what_is_no_python_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read as Python"):
        _read(tmp_path, "print 'python 2'\n")

"""The finder of plain training scripts: a file, or the one in a folder that trains."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from chaos_tasks.discovery.found import Pipeline
from chaos_tasks.discovery.python_reading import Facts
from chaos_tasks.discovery.scripts import local_scripts, pipeline_of
from chaos_tasks.errors import SetupError

_NAMES = ("train.py", "train_model.py", "training.py", "main.py", "run.py", "fit.py", "model.py")


class Script:
    """Reads one script; of a folder, the best named one among those that train."""

    kind: ClassVar[str] = "script"
    summary: ClassVar[str] = "a Python script that trains, or a folder with one"

    def fits(self, where: str) -> bool:
        """A .py file, or a folder with one."""
        path = Path(where).expanduser()
        return (path.suffix == ".py" and path.is_file()) or (
            path.is_dir() and next(path.rglob("*.py"), None) is not None
        )

    def find(self, where: str) -> Pipeline:
        """How it is run."""
        path = Path(where).expanduser().resolve()
        if path.is_dir():
            root, script = path, _best(path)
        else:
            root, script = _root_of(path), path
        why = f"script {script.relative_to(root)}"
        return pipeline_of("script", why, root, script)


def _best(root: Path) -> Path:
    scripts = local_scripts(root)
    training = {path: facts for path, facts in scripts.items() if facts.trains}
    if not training:
        raise SetupError(
            f"none of the {len(scripts)} scripts in {root} trains a model (none calls fit, train or backward)",
            remedy="name the script that does: squall init path/to/train.py",
        )
    return min(training, key=lambda path: (_rank(path, training[path]), len(path.parts), path))


def _rank(path: Path, facts: Facts) -> int:
    by_name = _NAMES.index(path.name) if path.name in _NAMES else len(_NAMES) + ("train" not in path.name)
    return by_name + (0 if facts.runs else 100)


def _root_of(script: Path) -> Path:
    """The repository that it lies in, else its folder."""
    return next((one for one in script.parents if (one / ".git").exists()), script.parent)

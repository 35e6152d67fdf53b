"""DVC configuration: what a source's says (read as text, so that nothing is opened there), and what a clone's says."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from chaos_tasks.targets import git

_KEPT_SECTIONS = ("hydra", "feature", "parsing", "plots")  # no address in them


def parse(text: str) -> dict[str, Any]:
    """Sections of an ini file as DVC writes it; a remote's section is named 'remote "name"', quotes included."""
    from configobj import ConfigObj

    parsed = ConfigObj(io.StringIO(text), list_values=False, interpolation=False)
    return {name.strip("'"): dict(values) for name, values in parsed.dict().items()}


def dump(sections: dict[str, Any]) -> str:
    """The text of an ini file."""
    lines: list[str] = []
    for name, values in sections.items():
        lines.append(f"['{name}']" if '"' in name else f"[{name}]")
        lines += [f"    {key} = {value}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def source_sections(source: Path, commit: str, folder: Path | None) -> dict[str, Any]:
    """The source's configuration at a commit, with its local one on top where the source is a folder.

    Relative paths are made absolute, as DVC reads them: relative to the folder of the file.
    """
    sections = parse(git.show(source, commit, ".dvc/config") or "")
    if folder is not None and (folder / ".dvc" / "config.local").is_file():
        for name, values in parse((folder / ".dvc" / "config.local").read_text()).items():
            sections[name] = {**sections.get(name, {}), **values}
    base = (folder or source) / ".dvc"
    for name, values in sections.items():
        key = "url" if name.startswith("remote ") else "dir" if name == "cache" else ""
        if key in values and "://" not in str(values[key]):
            values[key] = str((base / str(values[key])).resolve())
    return sections


def remotes_only(sections: dict[str, Any]) -> dict[str, Any]:
    """The part that names remotes."""
    kept = {name: values for name, values in sections.items() if name.startswith("remote ")}
    core = {key: value for key, value in sections.get("core", {}).items() if key == "remote"}
    return {**({"core": core} if core else {}), **kept}


def source_cache(folder: Path, sections: dict[str, Any]) -> Path:
    """Where a source folder keeps its cache."""
    return Path(sections.get("cache", {}).get("dir") or folder / ".dvc" / "cache")


def clone_config(source_text: str) -> str:
    """What is committed in a clone: nothing that has an address."""
    kept = {name: values for name, values in parse(source_text).items() if name in _KEPT_SECTIONS}
    return dump({"core": {"analytics": "false", "check_update": "false", "autostage": "false"}, **kept})


def clone_local_config(clone: Path, remote: Path) -> str:
    """What is only true on this machine: the clone's own cache, site cache and remote."""
    dvc = clone / ".dvc"
    return dump(
        {
            "core": {"remote": "own", "site_cache_dir": str(dvc / "tmp" / "site")},
            "cache": {"dir": str(dvc / "cache"), "type": "copy"},
            'remote "own"': {"url": str(remote)},
        }
    )

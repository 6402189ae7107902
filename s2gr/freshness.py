"""Whether a stage's last complete run still holds: same parameters, same code, same inputs, outputs untouched.

``s2gr run`` leaves a record of each finished stage, written last, and skips the stage for as long as the record holds.
It is the rule that DVC follows in a project, for work folders without one. It errs towards running again: every
artefact before a stage, and the code behind every stage before it, counts as its input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from s2gr.code_behind import current_digest
from s2gr.files import file_hash
from s2gr.params import Params, Source
from s2gr.stage import STAGES, sections_of
from s2gr.workspace import Workspace, read_json, write_json

# Everything a stage writes, below the workspace.
OUTPUTS = {
    "events": (
        "data/events.parquet",
        "data/items.parquet",
        "data/quarantine.parquet",
        "data/batches.parquet",
        "reports/events.json",
    ),
    "content": ("data/content.parquet", "models/content", "reports/content.json"),
    "cooccurrence": ("data/cooccurrence.parquet", "data/aligned.parquet", "reports/cooccurrence.json"),
    "codebook": ("models/codebook", "reports/codebook_curve.csv", "reports/codebook.json"),
    "sids": ("data/sids.parquet", "reports/code_usage.csv", "reports/codes.csv", "reports/sids.json"),
    "reasoner": ("models/reasoner", "reports/reasoner_curve.csv", "reports/reasoner.json"),
    "evaluation": (
        "reports/ranking.csv",
        "reports/slices.csv",
        "reports/calibration.csv",
        "reports/ranks.parquet",
        "reports/evaluation.html",
        "reports/metrics.json",
        "reports/evaluation.json",
    ),
    "recommendations": ("data/recommendations.parquet", "reports/recommendations.json"),
}

# Decides how fast a stage computes, not what.
_WITHOUT_EFFECT = {"memory_gb"}

Hashes = dict[str, str]


@dataclass(frozen=True)
class Fingerprint:
    """What a stage's result depends on."""

    params: dict[str, object]
    code: str
    inputs: Hashes


def fingerprint(stage: str, params: Params, workspace: Workspace) -> Fingerprint:
    """Everything that ``stage`` would work from if it ran now."""
    sections = params.model_dump(mode="json", include=set(sections_of(stage)))
    sections["runtime"] = {key: value for key, value in sections["runtime"].items() if key not in _WITHOUT_EFFECT}
    earlier = STAGES[: STAGES.index(stage)]
    inputs = hashes(
        workspace.root,
        [output for name in earlier for output in OUTPUTS[name] if not output.startswith("reports/")],
    )
    inputs |= _source_hashes(stage, params)
    code = current_digest(f"s2gr.{name}.stage" for name in (*earlier, stage))
    return Fingerprint(sections, code, inputs)


def reason_to_run(stage: str, now: Fingerprint, workspace: Workspace) -> str | None:
    """Why the last run of ``stage`` does not hold any more; None if it does."""
    path = _record(stage, workspace)
    try:
        last = read_json(path)
        recorded, outputs = Fingerprint(**last["fingerprint"]), last["outputs"]
    except FileNotFoundError:
        return "it has not run here yet"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{path} is damaged"
    changed = sorted(name for name in now.params if recorded.params.get(name) != now.params[name])
    if changed:
        return f"parameters changed: {', '.join(changed)}"
    if recorded.code != now.code:
        return "its code changed"
    for file in sorted(recorded.inputs.keys() | now.inputs.keys()):
        if recorded.inputs.get(file) != now.inputs.get(file):
            return f"{file} changed"
    for file, digest in hashes(workspace.root, OUTPUTS[stage]).items():
        if outputs.get(file) != digest:
            return f"{file} is not what it wrote"
    return None


def record(stage: str, worked_from: Fingerprint, workspace: Workspace) -> None:
    """Note that ``stage`` is complete."""
    outputs = hashes(workspace.root, OUTPUTS[stage])
    write_json({"fingerprint": asdict(worked_from), "outputs": outputs}, _record(stage, workspace))


def hashes(root: Path, names: Iterable[str]) -> Hashes:
    """SHA-256 of each file below ``root``, a folder's as one, ``missing`` where there is none."""
    return {name: _hash(root / name) for name in names}


def _record(stage: str, workspace: Workspace) -> Path:
    return workspace.state / "done" / f"{stage}.json"


def _source_hashes(stage: str, params: Params) -> Hashes:
    """The raw files that ``events`` and ``content`` read, and the earlier results that a parameter names."""
    earlier = {"codebook": params.codebook.warm_start, "sids": params.sids.previous}.get(stage)
    if earlier:
        return {str(earlier): _hash(earlier)}
    if "source" not in sections_of(stage):
        return {}
    folder, content = params.source.path, params.content
    if stage == "events":
        return {str(path): _hash(path) for path in sorted(_landed(params.source))}
    files = {path for path in content.frozen.rglob("*") if path.is_file()} if content.frozen else set()
    files |= {folder / name for name in (content.embeddings, content.ids) if name}
    if content.model and Path(content.model).is_dir():
        files.add(Path(content.model))
    return {str(path): _hash(path) for path in sorted(files)}


def _landed(source: Source) -> list[Path]:
    """What the stage ``events`` reads; what lies beside it, as a file that is still being written, does not count."""
    if source.kind == "movielens-100k":
        from s2gr.sources.movielens import copies_in

        return copies_in(source.path)
    from s2gr.sources.folder import landed_files, with_sidecars

    return with_sidecars(landed_files(source)) if source.path.is_dir() else []


def _hash(path: Path) -> str:
    if path.is_dir():
        inner = sorted(file for file in path.rglob("*") if file.is_file())
        listing = "".join(f"{file.relative_to(path)} {_hash(file)}\n" for file in inner)
        return hashlib.sha256(listing.encode()).hexdigest()
    return file_hash(path) if path.exists() else "missing"

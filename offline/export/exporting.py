"""Makes the parts of an export one by one; only what passes the gate is kept, and what was kept is not made again."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from offline.export import measure, runtimes
from offline.export.errors import ExportError
from offline.export.formats import Job, Part
from offline.export.gate import Figures, Gate, Verdict
from offline.training.release import file_sha256

LEDGER: Final = "export.json"
REFERENCE: Final = "released"


def export(job: Job, parts: Sequence[Part], data: Path, *, force: bool = False) -> list[dict[str, Any]]:
    """Makes what is not there yet, and measures everything; one row a part, the released model first.

    Raises ExportError at the first part that cannot be made or is not faithful; the parts before it stay.
    """
    job.out.mkdir(parents=True, exist_ok=True)
    reference = runtimes.onnx_runtime(job.released.parent, (job.released.name,), job.manifest)
    gate: Gate | None = None
    for part in parts:
        if not force and _is_there(job, part):
            continue
        # The reference answers only when something is to be compared with it.
        gate = gate or Gate(job.manifest, reference, job.pictures.comparison)
        _make(job, part, gate)
    return _rows(job, parts, data, reference)


def _make(job: Job, part: Part, gate: Gate) -> None:
    """Makes one part beside its place and moves it there when it has passed."""
    for file in part.files:
        # Of another release, or spoilt: if this fails, it must not pass for what was wanted.
        (job.out / file).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=job.out, prefix=".unproven-") as name:
        folder = Path(name)
        part.make(job, folder)
        verdict = None
        if part.run is not None:
            verdict = gate.judge(part.name, part.run(folder, part.files, job.manifest), part.precision)
            if verdict.faults:
                msg = f"{part.name} of {job.manifest.id} is not faithful, and not kept: {'; '.join(verdict.faults)}"
                raise ExportError(msg)
        for file in part.files:
            (folder / file).replace(job.out / file)
    _enter(job, part, verdict)


def _is_there(job: Job, part: Part) -> bool:
    """Whether the part was made from this very release with these settings, passed, and was not touched since."""
    entry = _read(job.out)["parts"].get(part.name)
    if entry is None or entry["source"] != job.manifest.sha256 or entry["settings"] != part.settings:
        return False
    paths = [job.out / file for file in part.files]
    return all(path.exists() and file_sha256(path) == entry["files"].get(path.name) for path in paths)


def _enter(job: Job, part: Part, verdict: Verdict | None) -> None:
    """Writes the part into the ledger."""
    ledger = _read(job.out)
    ledger["parts"][part.name] = {
        "model": job.manifest.id,
        "source": job.manifest.sha256,
        "settings": part.settings,
        "files": {file: file_sha256(job.out / file) for file in part.files},
        "gate": None if verdict is None else {"figures": verdict.figures, "limits": verdict.limits},
        "pictures": len(job.pictures.comparison),
        "tools": {tool: importlib.metadata.version(_distribution(tool)) for tool in part.tools},
        "made": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    path = job.out / LEDGER
    path.with_suffix(".part").write_text(json.dumps(ledger, indent=2) + "\n", encoding="utf-8")
    path.with_suffix(".part").replace(path)


def _distribution(module: str) -> str:
    """The package that a module came from: those of TensorRT carry the CUDA version in their names."""
    return importlib.metadata.packages_distributions()[module][0]


def _read(out: Path) -> dict[str, Any]:
    """The ledger; an empty one where there is none."""
    path = out / LEDGER
    ledger: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"parts": {}}
    return ledger


def _rows(job: Job, parts: Sequence[Part], data: Path, reference: runtimes.Run) -> list[dict[str, Any]]:
    ledger = _read(job.out)["parts"]
    runs = {REFERENCE: reference}
    runs |= {part.name: part.run(job.out, part.files, job.manifest) for part in parts if part.run is not None}
    times = measure.milliseconds(runs, job.pictures.comparison[:1])
    shown: list[tuple[str, list[Path], Figures]] = [(REFERENCE, [job.released], {})]
    for part in parts:
        verdict = ledger[part.name]["gate"]
        shown.append((part.name, [job.out / file for file in part.files], verdict["figures"] if verdict else {}))
    return [
        {
            "name": name,
            "files": [path.name for path in files],
            "bytes": sum(path.stat().st_size for path in files),
            "milliseconds": times.get(name),
            "gate": figures,
            "recall": measure.recall(runs[name], name, job.manifest, data) if name in runs else None,
        }
        for name, files, figures in shown
    ]

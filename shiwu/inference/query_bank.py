"""The bank of past queries beside an embedder's manifest: which pictures attract everything is measured with it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shiwu.inference.manifest import EmbedderManifest

BANK_NAME: Final = "query_bank.npz"


class BankError(ValueError):
    """There is no bank, it is malformed, or it holds another model's vectors."""


def write_bank(queries: NDArray[np.float32], manifest: EmbedderManifest, directory: Path) -> None:
    """Writes the unit vectors, (m, dimension), as float16 with the model that made them, beside its manifest."""
    np.savez(
        directory / BANK_NAME,
        queries=queries.astype(np.float16),
        model=np.array(manifest.id),
        sha256=np.array(manifest.sha256),
    )


def read_bank(manifest: EmbedderManifest, directory: Path) -> NDArray[np.float32]:
    """The bank's unit vectors, (m, dimension).

    Raises BankError unless they are vectors of exactly this model: its id and its file's sha256. Another model's
    vectors would be as good as random ones, and nobody would notice.
    """
    path = directory / BANK_NAME
    try:
        with np.load(path, allow_pickle=False) as file:
            stored, model, sha256 = file["queries"], str(file["model"]), str(file["sha256"])
    except FileNotFoundError as error:
        msg = f"{manifest.id} has no query bank"
        raise BankError(msg) from error
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        msg = f"{path.name} of {manifest.id} is not a query bank: {error}"
        raise BankError(msg) from error
    if (model, sha256) != (manifest.id, manifest.sha256):
        msg = f"the query bank is of {model} ({sha256[:12]}), not of {manifest.id} ({manifest.sha256[:12]})"
        raise BankError(msg)
    if stored.ndim != 2 or stored.shape[1] != manifest.dimension or not len(stored):
        msg = f"the query bank of {manifest.id} has the shape {stored.shape}; expected (m, {manifest.dimension})"
        raise BankError(msg)
    queries = stored.astype(np.float32)
    lengths = np.linalg.norm(queries, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths < 0.9).any():
        msg = f"the query bank of {manifest.id} does not hold unit vectors"
        raise BankError(msg)
    return np.asarray(queries / lengths, np.float32)

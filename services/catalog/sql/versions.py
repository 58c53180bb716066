"""Vectors by other versions of a model, while a new version takes over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import and_, bindparam, delete, exists, func, insert, literal, select, update

from services.catalog.resources import ReferenceImage
from services.catalog.sql import tables
from services.catalog.sql.database import Database
from services.catalog.sql.images import IMAGES

_PICTURES, _OTHERS = tables.reference_images, tables.version_vectors


class Versions:
    """A part of `SqlStore`."""

    _database: Database

    async def images_without(self, model: str, *, after: str, limit: int) -> list[ReferenceImage]:
        lacking = ~exists().where(_has(model))
        async with self._database.read("images_without") as connection:
            filters = (_of(model.partition("@")[0]), _PICTURES.c.model != model, lacking)
            return await IMAGES.page(connection, after, limit, *filters)

    async def images_with(self, model: str, *, after: str, limit: int) -> list[str]:
        statement = (
            select(_OTHERS.c.image_id)
            .where(_OTHERS.c.model == model, _OTHERS.c.image_id > after)
            .order_by(_OTHERS.c.image_id)
            .limit(limit)
        )
        async with self._database.read("images_with") as connection:
            return list((await connection.execute(statement)).scalars())

    async def add_vectors(self, model: str, vectors: Mapping[str, tuple[str, bytes]]) -> None:
        still = (
            select(_PICTURES.c.image_id, literal(model), bindparam("made", type_=_OTHERS.c.vector.type))
            .where(
                _PICTURES.c.image_id == bindparam("key"),
                _PICTURES.c.sha256 == bindparam("digest"),
                ~exists().where(_has(model)),
            )
            # A picture that is being replaced right now is waited for, and then it is another one.
            .with_for_update(of=_PICTURES)
        )
        statement = insert(_OTHERS).from_select(["image_id", "model", "vector"], still)
        async with self._database.write("add_vectors") as connection:
            for key in sorted(vectors):
                digest, vector = vectors[key]
                await connection.execute(statement, {"key": key, "digest": digest, "made": vector})

    async def promote(self, model: str, image_ids: Collection[str]) -> None:
        chosen = and_(_PICTURES.c.image_id.in_(sorted(image_ids)), _PICTURES.c.model != model)
        made = select(_OTHERS.c.vector).where(_has(model)).scalar_subquery()
        async with self._database.write("promote") as connection:
            old = select(_PICTURES.c.image_id, _PICTURES.c.model, _PICTURES.c.vector).where(
                chosen, exists().where(_has(model))
            )
            rows = [row._asdict() for row in await connection.execute(old.with_for_update(of=_PICTURES))]
            if not rows:
                return
            keys = [row["image_id"] for row in rows]
            values: dict[str, Any] = {"model": model, "vector": made, "revision": _PICTURES.c.revision + 1}
            await connection.execute(update(_PICTURES).where(_PICTURES.c.image_id.in_(keys)).values(values))
            await connection.execute(delete(_OTHERS).where(_OTHERS.c.image_id.in_(keys), _OTHERS.c.model == model))
            await connection.execute(insert(_OTHERS), rows)

    async def remove_vectors(self, model: str, image_ids: Collection[str]) -> None:
        async with self._database.write("remove_vectors") as connection:
            chosen = _OTHERS.c.image_id.in_(sorted(image_ids))
            await connection.execute(delete(_OTHERS).where(chosen, _OTHERS.c.model == model))


def _of(name: str) -> Any:
    """Pictures by any version of a model."""
    return func.substr(_PICTURES.c.model, 1, len(name) + 1) == f"{name}@"


def _has(model: str) -> Any:
    return and_(_OTHERS.c.image_id == _PICTURES.c.image_id, _OTHERS.c.model == model)

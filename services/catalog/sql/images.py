"""Reference images, and how far the index agrees with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import and_, bindparam, delete, func, not_, select, tuple_, update

from services.catalog.resources import ImageState, IndexRecord, ReferenceImage
from services.catalog.sql import tables
from services.catalog.sql.database import Database
from services.catalog.sql.deletions import note_deletions
from services.catalog.sql.rows import Rows, now
from shiwu.vision.local_features import VERSION

IMAGES = Rows(
    tables.reference_images,
    ReferenceImage,
    "image_id",
    "reference image",
    refers_to="product_id",
    hidden=("vector", "local_features"),
)


_FEATURES = tables.reference_images.c.local_features
# Not by comparison: what a migration gave old rows in SQLite is an empty text, which equals no empty bytes.
_KNOWN = func.length(_FEATURES) > 0


class Images:
    """A part of `SqlStore`."""

    _database: Database

    async def get_image(self, image_id: str) -> ReferenceImage:
        async with self._database.read("get_image") as connection:
            return await IMAGES.get(connection, image_id)

    async def find_images(self, image_ids: Collection[str]) -> dict[str, ReferenceImage]:
        async with self._database.read("find_images") as connection:
            return await IMAGES.find(connection, image_ids)

    async def find_image_states(self, image_ids: Collection[str]) -> dict[str, ImageState]:
        states, pictures = tables.image_states.c, tables.reference_images.c
        statement = (
            select(states.image_id, states.sha256, states.etag, states.last_modified)
            .join_from(tables.image_states, tables.reference_images)
            .where(states.image_id.in_(sorted(image_ids)), states.sha256 == pictures.sha256)
        )
        async with self._database.read("find_image_states") as connection:
            return {row.image_id: ImageState(*row) for row in await connection.execute(statement)}

    async def find_local_features(self, image_ids: Collection[str]) -> dict[str, bytes]:
        pictures = tables.reference_images.c
        statement = select(pictures.image_id, pictures.local_features).where(
            pictures.image_id.in_(sorted(image_ids)), _KNOWN
        )
        async with self._database.read("find_local_features") as connection:
            return {row.image_id: row.local_features for row in await connection.execute(statement)}

    async def images_to_describe(self, *, after: str, limit: int) -> list[ReferenceImage]:
        current = func.substr(_FEATURES, 1, len(VERSION)) == VERSION
        async with self._database.read("images_to_describe") as connection:
            return await IMAGES.page(connection, after, limit, not_(and_(_KNOWN, current)))

    async def set_local_features(self, features: Mapping[str, tuple[str, bytes]]) -> None:
        pictures = tables.reference_images
        statement = (
            update(pictures)
            .where(pictures.c.image_id == bindparam("key"), pictures.c.sha256 == bindparam("digest"))
            .values(local_features=bindparam("made"))
        )
        rows = [{"key": key, "digest": features[key][0], "made": features[key][1]} for key in sorted(features)]
        async with self._database.write("set_local_features") as connection:
            if rows:
                await connection.execute(statement, rows)

    async def list_images(self, *, after: str, limit: int, product_id: str = "") -> list[ReferenceImage]:
        filters = [tables.reference_images.c.product_id == product_id] if product_id else []
        async with self._database.read("list_images") as connection:
            return await IMAGES.page(connection, after, limit, *filters)

    async def suspend_images(self, *, product_id: str = "", image_id: str = "") -> list[ReferenceImage]:
        pictures = tables.reference_images
        which = pictures.c.product_id == product_id if product_id else pictures.c.image_id == image_id
        pending = {"index_time": None, "revision": pictures.c.revision + 1, "update_time": now()}
        statement = update(pictures).where(which).values(pending).returning(*IMAGES.columns)
        async with self._database.write("suspend_images") as connection:
            images = IMAGES.resources(await IMAGES.all(connection, statement))
        return sorted(images, key=lambda image: image.image_id)

    async def delete_image(self, image: ReferenceImage) -> bool:
        pictures = tables.reference_images
        unchanged = (pictures.c.image_id == image.image_id) & (pictures.c.revision == image.revision)
        async with self._database.write("delete_image") as connection:
            await note_deletions(self._database, connection, unchanged)
            if (await connection.execute(delete(pictures).where(unchanged))).rowcount:
                return True
            await IMAGES.get(connection, image.image_id)
            return False

    async def index_records(self, image_ids: Collection[str]) -> list[IndexRecord]:
        pictures, products = tables.reference_images, tables.products
        statement = (
            select(
                pictures.c.image_id,
                pictures.c.product_id,
                products.c.style_id,
                products.c.category,
                pictures.c.model,
                pictures.c.vector,
                pictures.c.revision,
            )
            .join_from(pictures, products)
            .where(pictures.c.image_id.in_(sorted(image_ids)))
        )
        others = tables.version_vectors
        chosen = others.c.image_id.in_(sorted(image_ids))
        async with self._database.read("index_records") as connection:
            records = [IndexRecord(*row) for row in await connection.execute(statement)]
            more = (await connection.execute(select(others).where(chosen).order_by(others.c.model))).all()
        by_image = {record.image_id: record for record in records}
        return records + [
            replace(by_image[row.image_id], model=row.model, vector=row.vector)
            for row in more
            if row.image_id in by_image
        ]

    async def mark_indexed(
        self, records: Collection[IndexRecord], index_time: datetime, *, operation_id: str = ""
    ) -> frozenset[str]:
        pictures = tables.reference_images
        # Marking makes a new revision too: of two writers of the same revision the slower one must notice.
        keys = sorted({(record.image_id, record.revision) for record in records})
        statement = (
            update(pictures)
            .where(tuple_(pictures.c.image_id, pictures.c.revision).in_(keys))
            .values(index_time=index_time, revision=pictures.c.revision + 1, update_time=now())
            .returning(pictures.c.image_id)
        )
        async with self._database.write("mark_indexed") as connection:
            marked = frozenset((await connection.execute(statement)).scalars())
            if operation_id and marked:
                imports = tables.operations
                await connection.execute(
                    update(imports)
                    .where(imports.c.operation_id == operation_id)
                    .values(images_indexed=imports.c.images_indexed + len(marked), update_time=now())
                )
        return frozenset(record.image_id for record in records) - marked

    async def pending_images(self, *, after: str, limit: int, product_id: str = "") -> list[str]:
        pictures = tables.reference_images.c
        statement = (
            select(pictures.image_id)
            .where(pictures.index_time.is_(None), pictures.image_id > after)
            .order_by(pictures.image_id)
            .limit(limit)
        )
        if product_id:
            statement = statement.where(pictures.product_id == product_id)
        async with self._database.read("pending_images") as connection:
            return list((await connection.execute(statement)).scalars())

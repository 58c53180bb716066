"""Create, get, update and delete on the wire, for every kind of resource."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.unit.catalog.kinds import EXAMPLES, Kind, without_times
from tests.unit.catalog.refusals import refused


async def test_a_resource_goes_round(kind):
    created = await kind.create(kind.example)
    assert without_times(created) == kind.example
    assert created.update_time.seconds > 1_700_000_000
    assert await kind.get(kind.key(kind.example)) == created
    assert created in kind.items(await kind.list())
    await kind.delete(kind.key(kind.example))
    message = await refused(kind.get(kind.key(kind.example)), "NOT_FOUND")
    assert repr(kind.key(kind.example)) in message


async def test_what_is_output_only_is_ignored(kind):
    resource = kind.example
    resource.update_time.CopyFrom(Timestamp(seconds=7))
    assert (await kind.create(resource)).update_time.seconds > 7


async def test_a_taken_key_is_refused(kind):
    await kind.create(kind.example)
    assert "exists" in await refused(kind.create(kind.example), "ALREADY_EXISTS")


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "tab\t", "\x00", "\u2003"])
async def test_keys_are_checked_everywhere(kind, key):
    resource = kind.example
    setattr(resource, f"{kind.name}_id", key)
    field = f"{kind.name}_id"
    await refused(kind.create(resource), "INVALID_ARGUMENT", field=f"{kind.name}.{field}")
    await refused(kind.update(resource), "INVALID_ARGUMENT", field=f"{kind.name}.{field}")
    await refused(kind.get(key), "INVALID_ARGUMENT", field=field)
    await refused(kind.delete(key), "INVALID_ARGUMENT", field=field)


@pytest.mark.parametrize("key", ["-", "%2F", "鞋" * 128, "a'b\"c", "\U0001f45f", "../x"])
async def test_any_printable_key_is_good(kind, key):
    resource = kind.example
    setattr(resource, f"{kind.name}_id", key)
    await kind.create(resource)
    assert kind.key(await kind.get(key)) == key


async def test_an_update_changes_what_its_mask_names_or_all(kind):
    created = await kind.create(kind.example)
    field = "merchant" if kind.name == "offer" else "title"
    other = "url" if kind.name in ("offer", "article") else "category"
    changed = kind.example
    setattr(changed, field, "New")
    setattr(changed, other, "https://new.example/" if other == "url" else "bags")
    updated = await kind.update(changed, field)
    assert getattr(updated, field) == "New"
    assert getattr(updated, other) == getattr(created, other)
    updated = await kind.update(changed)
    assert without_times(updated) == changed
    assert await kind.get(kind.key(changed)) == updated
    assert without_times(await kind.update(kind.example, "*")) == kind.example


async def test_an_update_of_nobody_is_refused(kind):
    await refused(kind.update(kind.example), "NOT_FOUND")


@pytest.mark.parametrize("path", ["nonsense", "update_time", "title.x", "", "price.units"])
async def test_masks_name_fields_that_can_be_changed(kind, path):
    await kind.create(kind.example)
    message = await refused(kind.update(kind.example, path), "INVALID_ARGUMENT", field="update_mask")
    assert repr(path) in message
    await refused(kind.update(kind.example, f"{kind.name}_id"), "INVALID_ARGUMENT", field="update_mask")


async def test_a_field_outside_the_mask_is_not_looked_at(kind):
    await kind.create(kind.example)
    resource = kind.example
    if kind.name == "offer":
        resource.price.units = -1
        await kind.update(resource, "merchant")
    else:
        resource.category = "nonsense"
        await kind.update(resource, "title")


async def test_a_request_without_its_resource_is_refused(kind):
    await refused(kind.create(None), "INVALID_ARGUMENT", field=kind.name)


async def test_two_creators_of_one_key_do_not_both_win(kind):
    outcomes = await asyncio.gather(*(kind.create(kind.example) for _ in range(8)), return_exceptions=True)
    refusals = [each for each in outcomes if isinstance(each, Exception)]
    assert len(refusals) == 7
    assert {each.code().name for each in refusals} == {"ALREADY_EXISTS"}


async def test_a_style_with_products_is_not_deleted(kind):
    await Kind("product", kind.stub).create(EXAMPLES["product"])
    assert "has products" in await refused(Kind("style", kind.stub).delete("s0"), "FAILED_PRECONDITION")

"""The canary: what it reads, how it judges answers, and what it tells."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import pytest
from prometheus_client import REGISTRY

from shiwu.cli.canary import scan_all
from shiwu.cli.canary_set import Expected, KnownPhoto, read_photos
from shiwu.cli.connection import InputError
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.catalog_resources_pb2 import Product, Style


def answer(outcome: int = pb.OUTCOME_MATCHED, product: str = "", style: str = "") -> pb.ScanResponse:
    if not product:
        return pb.ScanResponse(outcome=outcome)
    match = pb.ProductMatch(product=Product(product_id=product))
    return pb.ScanResponse(outcome=outcome, styles=[pb.StyleMatch(style=Style(style_id=style), products=[match])])


ABSENT = pb.OUTCOME_NOT_IN_CATALOGUE
UNDECIDED = pb.OUTCOME_UNDECIDED


@pytest.mark.parametrize(
    ("expected", "given", "right"),
    [
        ({"product": "p"}, answer(product="p"), True),
        ({"product": "p"}, answer(ABSENT, product="p"), True),  # found, though not accepted: recall is about the order
        ({"product": "p"}, answer(product="q"), False),
        ({"product": "p"}, answer(UNDECIDED), False),
        ({"style": "s"}, answer(product="p", style="s"), True),
        ({"style": "s"}, answer(product="p", style="t"), False),
        ({"absent": True}, answer(ABSENT, product="q"), True),
        ({"absent": True}, answer(product="q"), False),
        ({"absent": True}, answer(UNDECIDED), False),
    ],
)
def test_what_is_right(expected: dict, given: pb.ScanResponse, right: bool) -> None:
    assert Expected(photo="a.jpg", **expected).is_met(given) is right


def test_a_folder_is_read_by_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    (tmp_path / "manifest.jsonl").write_text(
        '{"photo": "a.jpg", "product": "p"}\n\n{"photo": "a.jpg", "absent": true}\n'
    )
    photos = read_photos(tmp_path)
    assert photos == read_photos(tmp_path / "manifest.jsonl")
    assert [(photo.data, photo.expected.product, photo.expected.absent) for photo in photos] == [
        (b"1", "p", False),
        (b"1", "", True),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("no JSON", "line 2: Invalid JSON"),
        ('{"photo": "a.jpg"}', 'line 2: expected one of "product", "style" and "absent": true'),
        ('{"photo": "a.jpg", "product": "p", "absent": true}', "line 2: expected one of"),
        ('{"photo": "a.jpg", "produkt": "p"}', "line 2: produkt: Extra inputs are not permitted"),
        ('{"product": "p"}', "line 2: photo: Field required"),
        ('{"photo": "b.jpg", "product": "p"}', "line 2: cannot read b.jpg: No such file"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_told_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    (tmp_path / "manifest.jsonl").write_text('{"photo": "a.jpg", "product": "p"}\n' + line)
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        read_photos(tmp_path)


def test_a_folder_without_a_manifest_and_an_empty_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*manifest\.jsonl: No such file"):
        read_photos(tmp_path)
    (tmp_path / "manifest.jsonl").write_text("\n")
    with pytest.raises(InputError, match="has no photos"):
        read_photos(tmp_path)


class NoAnswerError(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "down"


def value(name: str, **labels: str) -> float:
    found = REGISTRY.get_sample_value(f"shiwu_canary_{name}", labels)
    assert found is not None
    return found


def photo(answer_to_it: pb.ScanResponse | None, **expected: object) -> KnownPhoto:
    return KnownPhoto(
        Expected(photo="a.jpg", **expected), b"" if answer_to_it is None else answer_to_it.SerializeToString()
    )


def scan(data: bytes) -> pb.ScanResponse:
    if not data:
        raise NoAnswerError
    return pb.ScanResponse.FromString(data)


def test_a_round_sets_the_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    known = [
        photo(answer(product="p"), product="p"),
        photo(answer(UNDECIDED, product="p"), product="p"),
        photo(answer(product="q"), product="p"),
        photo(answer(ABSENT), product="p"),
        photo(answer(ABSENT), absent=True),
        photo(answer(product="q"), absent=True),
    ]
    start, failures = time.time(), value("failures_total")
    found = scan_all(known, scan)
    assert (found.recall, found.failures) == (0.5, 0)
    assert value("recall") == 0.5
    assert value("accepted_share", kind="present") == 0.5
    assert value("accepted_share", kind="absent") == 0.5
    assert (value("photos", kind="present"), value("photos", kind="absent")) == (4, 2)
    assert value("last_success_timestamp_seconds") >= start
    assert value("failures_total") == failures
    assert "wrong: a.jpg: expected p, got q (OUTCOME_MATCHED)" in capsys.readouterr().err


def test_a_scan_without_an_answer_counts_as_that_and_not_as_a_wrong_one() -> None:
    scan_all([photo(answer(product="p"), product="p")], scan)
    last, failures = value("last_success_timestamp_seconds"), value("failures_total")
    found = scan_all([photo(answer(product="p"), product="p"), photo(None, product="p")], scan)
    assert (found.recall, found.failures) == (1.0, 1)
    assert value("last_success_timestamp_seconds") == last, "the round was not whole"
    assert value("failures_total") == failures + 1
    assert scan_all([photo(None, product="p")], scan).recall is None
    assert value("recall") == 1.0, "nothing is known of it now: CanarySilent tells"

"""`shiwu scan`: one photo in, the answer as a person wants to read it."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.json_format import MessageToJson
from rich.console import Console

from shiwu.cli.answer import print_answer, print_evidence
from shiwu.cli.connection import InputError, connected
from shiwu.cli.drawing import draw_answer
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.vision_pb2 import Image


def scan(
    photo: Path,
    *,
    json: bool,
    explain: bool,
    draw: Path | None,
    top_k: int | None,
    timeout: float,
    gateway: str,
    catalog: str,
) -> bool:
    """Scans a photo and prints the answer; true when the product was found."""
    data = read(photo)
    request = pb.ScanRequest(image=Image(encoded=data), top_k=top_k, explain=explain)
    with connected(gateway) as channel:
        answer = GatewayServiceStub(channel).Scan(request, timeout=timeout)
    if draw is not None:
        draw_answer(data, answer, catalog).save(draw)
    if json:
        print(MessageToJson(answer))  # noqa: T201  JSON goes to stdout as it is, without a terminal's line breaks
    else:
        console = Console()
        print_answer(console, answer)
        if explain:
            print_evidence(console, answer)
        if draw is not None:
            console.print(f"drawn: {draw}")
    return answer.outcome == pb.OUTCOME_MATCHED


def read(photo: Path) -> bytes:
    """The file's bytes; InputError if there is none."""
    try:
        return photo.read_bytes()
    except OSError as error:
        msg = f"cannot read {photo}: {error.strerror}"
        raise InputError(msg) from error

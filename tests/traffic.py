"""Pairs of processes that are restarted one at a time, and scans and writes that go on meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

import cv2
import grpc
import numpy as np

from shiwu.cli.mesh import free_ports, serving
from shiwu.v1 import catalog_pb2, gateway_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import ReferenceImage
from shiwu.v1.vision_pb2 import Image
from tests.demo_mesh import STOCK, DemoMesh, eventually


class RollingPair:
    """Two processes of a service. Use as a context manager; leaving it ends them."""

    def __init__(self, service: str, log: Path) -> None:
        first = free_ports(2)
        self.ports = [first, first + 1]
        self.target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self._service = service
        self._log = log
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> RollingPair:
        return self

    def __exit__(self, *_: object) -> None:
        for port in self.ports:
            self._end(port)

    def roll(self, settings: Mapping[str, str]) -> None:
        """Restarts one after the other with these settings; each serves before the next one is stopped."""
        for port in self.ports:
            rolling = self._end(port)
            environment = os.environ | settings | {f"{self._service.upper()}_SERVER__PORT": str(port)}
            with self._log.open("ab") as log:
                command = [sys.executable, "-m", f"services.{self._service}"]
                self._processes[port] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            eventually(lambda: serving(f"127.0.0.1:{port}"), 60)  # noqa: B023
            if rolling:
                # As long as a rollout waits before it takes the next one (minReadySeconds): clients look again for
                # one that was away every 2 s.
                time.sleep(3.0)

    def _end(self, port: int) -> bool:
        if port not in self._processes:
            return False
        self._processes[port].terminate()
        self._processes.pop(port).wait(20)
        return True


class Traffic:
    """Scans and writes until told to stop, and keeps what came of them."""

    def __init__(self, demo: DemoMesh) -> None:
        self._demo = demo
        self._over = threading.Event()
        self.answers: list[tuple[str, gateway_pb2.ScanResponse]] = []
        self.written: list[str] = []
        self.deleted: list[str] = []
        self.errors: list[Exception] = []
        self._threads = [threading.Thread(target=self._guarded, args=(work,)) for work in (self._scan, self._write)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, work: Callable[[int], None]) -> None:
        for number in count():
            if self._over.is_set():
                return
            try:
                work(number)
            except Exception as error:
                self.errors.append(error)

    def _scan(self, number: int) -> None:
        key = ("basketball", "laptop", "football")[number % 3]
        self.answers.append((key, self._demo.scan(self._demo.products[key].picture.read_bytes(), explain=True)))

    def _write(self, number: int) -> None:
        """A picture of noise, so that scans find what they found."""
        pixels = np.random.default_rng(number).integers(0, 255, (64, 64, 3), np.uint8)
        data = cv2.imencode(".png", pixels)[1].tobytes()
        image_id, product = f"written-{number}", STOCK[number % len(STOCK)]
        with grpc.insecure_channel(self._demo.mesh.layout.target("catalog")) as channel:
            stub = CatalogServiceStub(channel)
            image = ReferenceImage(image_id=image_id, product_id=product)
            request = catalog_pb2.CreateReferenceImageRequest(reference_image=image, image=Image(encoded=data))
            stub.CreateReferenceImage(request, timeout=20)
            if number % 5 == 4:
                stub.DeleteReferenceImage(catalog_pb2.DeleteReferenceImageRequest(image_id=image_id), timeout=20)
                self.deleted.append(image_id)
            else:
                self.written.append(image_id)
        time.sleep(0.2)

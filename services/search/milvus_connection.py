"""One Milvus endpoint, shared by the shards on it: clients, deadlines, retries, and its errors translated."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
from pymilvus import AsyncMilvusClient, MilvusClient, MilvusException

from services.search.shards import is_lite
from shiwu.chassis.errors import UnavailableError
from shiwu.chassis.metrics import timed_store

# Its tracebacks say nothing that the translated errors do not.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


class _Unopened(logging.Filter):
    """Why a Milvus Lite database cannot be opened: told by its log only, with a traceback for every try to open it."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: dict[str, str] = {}
        """By absolute path."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keeps the reason and drops the record, if it is about that."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None or not isinstance(record.args, tuple):
            return True
        self.reasons[str(record.args[0])] = str(error) or type(error).__name__
        return False


_unopened = _Unopened()
logging.getLogger("milvus_lite.server_manager").addFilter(_unopened)

_T = TypeVar("_T")
_ATTEMPTS = 2
_PAUSE = 0.05  # between attempts, seconds
_CONNECT_TIMEOUT = 2.0
_MISSING = {100: "not found", 101: "not loaded"}  # error codes that Milvus and Milvus Lite share


class MissingCollectionError(UnavailableError):
    """A collection is not there or not loaded: somebody dropped it, or the server was restarted."""


class MilvusConnection:
    """Calls to one endpoint, a Milvus server or a Milvus Lite database. Connects when first used, again when lost."""

    def __init__(self, endpoint: str, *, address: str, token: str = "", seconds: float = 2.0) -> None:
        """endpoint: as in the shard map. address: the same without credentials. token: "user:password".

        seconds: for one attempt at a call. It decides how fast a Milvus cluster turns from a dead query node
        to another replica, since it does so only shortly before the deadline.
        """
        self._endpoint = endpoint
        self._address = address
        self._token = token
        self._seconds = seconds
        self._connecting = asyncio.Lock()
        self._client: AsyncMilvusClient | None = None
        self._definer: MilvusClient | None = None
        # Milvus Lite writes every change of its aliases through the same temporary file: one at a time.
        self._defining = threading.Lock() if is_lite(endpoint) else nullcontext()

    async def call(
        self, operation: str, do: Callable[[AsyncMilvusClient, float], Awaitable[_T]], *, seconds: float | None = None
    ) -> _T:
        """The result of `do(client, timeout)`, tried twice, `seconds` each time.

        operation: for metrics. Raises MissingCollectionError or UnavailableError.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                client = await self._connected()
                with timed_store(operation):
                    return await do(client, seconds or self._seconds)
            except (MilvusException, grpc.RpcError, OSError, TimeoutError) as error:
                translated = self._translated(error)
                if attempt == _ATTEMPTS or isinstance(translated, MissingCollectionError):
                    raise translated from error
                await asyncio.sleep(_PAUSE)
        raise AssertionError  # the loop returns or raises

    async def define(self, do: Callable[[MilvusClient], _T]) -> _T:
        """The result of `do(client)`, run in a thread: for definitions, which need the blocking client.

        The asynchronous one cannot create an index in Milvus Lite. Raises MissingCollectionError or UnavailableError.
        """

        def in_thread() -> _T:
            with self._defining:
                if self._definer is None:
                    self._definer = MilvusClient(self._endpoint, token=self._token, timeout=_CONNECT_TIMEOUT)
                return do(self._definer)

        await self._connected()
        try:
            with timed_store("define"):
                return await asyncio.to_thread(in_thread)
        except (MilvusException, grpc.RpcError, OSError) as error:
            raise self._translated(error) from error

    async def close(self) -> None:
        """Closes the clients, and the database if it is a Milvus Lite one, so that others can open it."""
        client, self._client = self._client, None
        definer, self._definer = self._definer, None
        if client is not None:
            await client.close()
        if definer is not None:
            await asyncio.to_thread(definer.close)
        if is_lite(self._endpoint) and client is not None:
            from milvus_lite.server_manager import server_manager_instance  # noqa: PLC0415 (an extra)

            await asyncio.to_thread(server_manager_instance.release_server, self._endpoint)

    async def _connected(self) -> AsyncMilvusClient:
        if self._client is None:
            async with self._connecting:
                if self._client is None:
                    self._client = await self._connect()
        return self._client

    async def _connect(self) -> AsyncMilvusClient:
        options: dict[str, Any] = {"token": self._token, "timeout": _CONNECT_TIMEOUT, "dedicated": True}
        if is_lite(self._endpoint):
            Path(self._endpoint).parent.mkdir(parents=True, exist_ok=True)
            # Opens the database and starts its server, which may read much.
            return await asyncio.to_thread(AsyncMilvusClient, self._endpoint, **options)
        # The client keeps a channel for every failed try to connect; so it shall not fail.
        parts = urlsplit(self._endpoint)
        port = parts.port or (443 if parts.scheme == "https" else 19530)
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            _, writer = await asyncio.open_connection(parts.hostname, port)
        writer.close()
        return AsyncMilvusClient(self._endpoint, **options)

    def _translated(self, error: Exception) -> UnavailableError:
        missing = isinstance(error, MilvusException) and error.code in _MISSING
        return (MissingCollectionError if missing else UnavailableError)(self._says(error))

    def _says(self, error: Exception) -> str:
        if isinstance(error, MilvusException):
            said = str(error.message)
        elif isinstance(error, grpc.RpcError):
            said = str(error.details()) if hasattr(error, "details") else repr(error)
        else:
            said = str(error) or type(error).__name__
        if is_lite(self._endpoint) and "Open local milvus failed" in said:
            said = f"the database cannot be opened: {_unopened.reasons.get(str(Path(self._endpoint).absolute()), said)}"
        return f"vector store {self._address}: {said.splitlines()[0] if said else type(error).__name__}"

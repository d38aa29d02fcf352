"""A stand-in for LiteLLM's own `gcs_bucket` callback, which needs a licence.

Copied beside LiteLLM's configuration (litellm.py) and imported there, in LiteLLM's own environment: it imports nothing
of ours, and nothing of ours imports it. It is written against LiteLLM's public `CustomBatchLogger` and does what the
licensed one does with the same settings: the same payload to the same API through the same HTTP client, gathered as
long, in one object a request or in objects of many lines, whichever this release of LiteLLM does by default.

    GCS_BUCKET_NAME            the bucket
    GCS_FLUSH_INTERVAL         seconds between two uploads
    GCS_USE_BATCHED_LOGGING    `true`: one object of all lines; `false`: one object a request; else as the release does

Two faults of known size, to prove that the check sees them:

    PERFGATE_BURN_CPU_MS       burns so much CPU in the event loop for each request
    PERFGATE_POST_AT_ONCE      uploads each request's object before anything else happens, and waits for the answer
"""

import asyncio
import json
import os
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Final

import httpx
from litellm.integrations.custom_batch_logger import (  # type: ignore[import-not-found, unused-ignore]
    CustomBatchLogger,
)
from litellm.llms.custom_httpx.http_handler import (  # type: ignore[import-not-found, unused-ignore]
    get_async_httpx_client,
    httpxSpecialProvider,
)
from litellm.types.integrations import gcs_bucket  # type: ignore[import-not-found, unused-ignore]

_UPLOAD_URL: Final = "https://storage.googleapis.com/upload/storage/v1/b"
_TOKEN_URL: Final = "https://oauth2.googleapis.com/token"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: Google's tokens live an hour; the licensed callback asks again when one has run out.
_TOKEN_LIVES_S: Final = 3600.0


class StandIn(CustomBatchLogger):  # type: ignore[misc, unused-ignore]
    """See the module."""

    def __init__(self) -> None:
        self.flush_lock = asyncio.Lock()
        super().__init__(flush_lock=self.flush_lock, flush_interval=int(os.environ["GCS_FLUSH_INTERVAL"]))
        self.log_queue: list[tuple[Any, str]] = []
        default = str(getattr(gcs_bucket, "GCS_DEFAULT_USE_BATCHED_LOGGING", False))
        self.is_batched = os.environ.get("GCS_USE_BATCHED_LOGGING", default).lower() == "true"
        self.bucket = os.environ["GCS_BUCKET_NAME"]
        self.burn_cpu_s = float(os.environ.get("PERFGATE_BURN_CPU_MS", "0")) / 1000
        self.posts_at_once = "PERFGATE_POST_AT_ONCE" in os.environ
        self.client: Any = get_async_httpx_client(llm_provider=httpxSpecialProvider.LoggingCallback)
        self.blocking_client = httpx.Client() if self.posts_at_once else None
        self.token, self.token_until_mono_s = "", 0.0
        self.flushing: asyncio.Task[None] | None = None

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Called by LiteLLM for each request that succeeded."""
        await self._log(kwargs, response_obj)

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Called by LiteLLM for each request that failed."""
        await self._log(kwargs, response_obj)

    async def flush_queue(self) -> None:
        """Upload what has been gathered.

        What is logged meanwhile is left for the next time. LiteLLM's own method clears it away in 1.79.3, but not for
        its `gcs_bucket`, whose uploads go on until nothing is left.
        """
        async with self.flush_lock:
            if self.log_queue:
                await self.async_send_batch()

    async def async_send_batch(self, *args: Any, **kwargs: Any) -> None:
        """Take what has been gathered out of the queue, and upload it."""
        records, self.log_queue = self.log_queue, []
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        if self.is_batched:
            name = f"{day}/batch-{int(time.time() * 1000)}-{uuid.uuid4().hex[:8]}.ndjson"
            lines = [json.dumps(record, default=str, ensure_ascii=False) for record, _ in records]
            await self._upload(name, "\n".join(lines))
            return
        for record, reply_id in records:
            await self._upload(f"{day}/{reply_id}", json.dumps(record, default=str))

    async def _log(self, kwargs: dict[str, Any], response_obj: Any) -> None:
        if self.flushing is None:  # here, since a module may be imported before there is an event loop
            self.flushing = asyncio.create_task(self.periodic_flush())
        # The thread's own clock: on a busy core 1 ms of CPU takes longer than 1 ms.
        enough_s = time.thread_time() + self.burn_cpu_s
        while time.thread_time() < enough_s:
            pass
        record = kwargs["standard_logging_object"]
        reply_id = (response_obj or {}).get("id") or f"failure-{uuid.uuid4().hex}"
        if self.blocking_client is not None:
            headers = await self._headers()
            url = self._url(f"{datetime.now(UTC):%Y-%m-%d}/{reply_id}")
            self.blocking_client.post(url, headers=headers, content=json.dumps(record, default=str))
            return
        self.log_queue.append((record, reply_id))

    async def _upload(self, name: str, text: str) -> None:
        try:
            await self.client.post(url=self._url(name), headers=await self._headers(), data=text)
        except Exception as error:  # noqa: BLE001 (as the licensed one: what cannot be uploaded is given up)
            print(f"perfgate's stand-in for gcs_bucket: {name} was not uploaded: {type(error).__name__}")

    def _url(self, name: str) -> str:
        return f"{_UPLOAD_URL}/{self.bucket}/o?uploadType=media&name={name}"

    async def _headers(self) -> dict[str, str]:
        if time.monotonic() >= self.token_until_mono_s:
            # Nobody checks the signature of a service account that does not exist.
            asked = await self.client.post(url=_TOKEN_URL, data={"grant_type": _GRANT, "assertion": "e30.e30.e30"})
            self.token, self.token_until_mono_s = asked.json()["access_token"], time.monotonic() + _TOKEN_LIVES_S
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}


handler: Final = StandIn()

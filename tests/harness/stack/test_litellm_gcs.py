"""Does the stand-in for `gcs_bucket` upload what the licensed callback uploads, all of it, and nothing twice?

LiteLLM is not installed beside us: what the stand-in needs of it is stood in for. At the end it runs in an environment
of each release, beside those parts of LiteLLM's own callback that need no licence.
"""

import asyncio
import importlib
import json
import os
import re
import subprocess
import sys
import time
import types
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from perfgate.stack.callbacks import STAND_IN_FILE, callback
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release

UPLOADS = "https://storage.googleapis.com/upload/storage/v1/b/a-bucket/o?uploadType=media&name="


class FakeBatchLogger:
    """As much of LiteLLM's as is used: a queue, which whoever flushes clears."""

    def __init__(self, flush_lock: asyncio.Lock, flush_interval: int) -> None:
        self.log_queue: list[Any] = []
        self.flush_interval = flush_interval

    async def periodic_flush(self) -> None:
        await asyncio.sleep(3600)


class FakeClient:
    """Notes what is posted; answers a token, or an upload's acceptance."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.fails = False
        self.on_upload: Callable[[], Awaitable[None]] | None = None

    async def post(self, **request: Any) -> Any:
        self.posted.append(request)
        if self.fails and "storage" in request["url"]:
            raise ConnectionError("reset")
        if self.on_upload is not None and "storage" in request["url"]:
            await self.on_upload()
        return types.SimpleNamespace(json=lambda: {"access_token": "a-token"})

    @property
    def uploads(self) -> list[dict[str, Any]]:
        return [request for request in self.posted if "storage" in request["url"]]


@pytest.fixture
def http_client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def made(http_client: FakeClient) -> Iterator[Callable[..., Any]]:
    """Makes a handler under some variables, beside a LiteLLM whose default for batches is what is said."""
    with pytest.MonkeyPatch.context() as patch:

        def make(*, batches_by_default: bool = False, **variables: str) -> Any:
            variables = {"GCS_BUCKET_NAME": "a-bucket", "GCS_FLUSH_INTERVAL": "7", **variables}
            for name, value in variables.items():
                patch.setenv(name, value)
            names: dict[str, dict[str, Any]] = {
                "litellm": {},
                "litellm.integrations": {},
                "litellm.integrations.custom_batch_logger": {"CustomBatchLogger": FakeBatchLogger},
                "litellm.llms": {},
                "litellm.llms.custom_httpx": {},
                "litellm.llms.custom_httpx.http_handler": {
                    "get_async_httpx_client": lambda llm_provider: http_client,
                    "httpxSpecialProvider": types.SimpleNamespace(LoggingCallback="logging"),
                },
                "litellm.types": {},
                "litellm.types.integrations": {},
                "litellm.types.integrations.gcs_bucket": (
                    {"GCS_DEFAULT_USE_BATCHED_LOGGING": True} if batches_by_default else {}
                ),
            }
            for name, content in names.items():
                module = types.ModuleType(name)
                module.__dict__.update(content)
                patch.setitem(sys.modules, name, module)
            gcs_bucket = sys.modules["litellm.types.integrations.gcs_bucket"]
            patch.setattr(sys.modules["litellm.types.integrations"], "gcs_bucket", gcs_bucket, raising=False)
            patch.delitem(sys.modules, "perfgate.stack.litellm_gcs", raising=False)
            return importlib.import_module("perfgate.stack.litellm_gcs").handler

        yield make
    sys.modules.pop("perfgate.stack.litellm_gcs", None)


async def succeed(handler: Any, record: dict[str, Any]) -> None:
    """As LiteLLM calls it: by these names."""
    await handler.async_log_success_event(
        kwargs={"standard_logging_object": record}, response_obj={"id": record["id"]}, start_time=0, end_time=0
    )


def log(handler: Any, *ids: str, flush: bool = True) -> None:
    async def all_of_it() -> None:
        for reply_id in ids:
            await succeed(handler, {"id": reply_id, "cost": 0.5})
        if flush:
            await handler.flush_queue()

    asyncio.run(all_of_it())


def test_one_object_a_request_where_the_release_knows_no_batches(
    made: Callable[..., Any], http_client: FakeClient
) -> None:
    log(made(), "chatcmpl-1", "chatcmpl-2")
    names = [request["url"].removeprefix(UPLOADS).partition("/") for request in http_client.uploads]
    assert [name for _, _, name in names] == ["chatcmpl-1", "chatcmpl-2"]
    assert [json.loads(request["data"]) for request in http_client.uploads] == [
        {"id": "chatcmpl-1", "cost": 0.5},
        {"id": "chatcmpl-2", "cost": 0.5},
    ]


@pytest.mark.parametrize(
    ("default", "variables", "objects"),
    [(True, {}, 1), (False, {"GCS_USE_BATCHED_LOGGING": "true"}, 1), (True, {"GCS_USE_BATCHED_LOGGING": "false"}, 2)],
)
def test_lines_of_one_object_are_the_releases_default_or_what_is_set(
    made: Callable[..., Any], http_client: FakeClient, default: bool, variables: dict[str, str], objects: int
) -> None:
    log(made(batches_by_default=default, **variables), "chatcmpl-1", "chatcmpl-2")
    assert len(http_client.uploads) == objects
    lines = [line for request in http_client.uploads for line in request["data"].split("\n")]
    assert [json.loads(line)["id"] for line in lines] == ["chatcmpl-1", "chatcmpl-2"]
    if objects == 1:
        assert http_client.uploads[0]["url"].endswith(".ndjson")


def test_it_asks_for_a_token_once_and_shows_it_with_each_upload(
    made: Callable[..., Any], http_client: FakeClient
) -> None:
    log(made(), "chatcmpl-1", "chatcmpl-2")
    assert [request["url"] for request in http_client.posted if request not in http_client.uploads] == [
        "https://oauth2.googleapis.com/token"
    ]
    assert {request["headers"]["Authorization"] for request in http_client.uploads} == {"Bearer a-token"}


@pytest.mark.parametrize("batched", ["true", "false"])
def test_what_is_logged_during_an_upload_is_neither_lost_nor_uploaded_twice(
    made: Callable[..., Any], http_client: FakeClient, batched: str
) -> None:
    handler = made(GCS_USE_BATCHED_LOGGING=batched)
    late = iter(["late-1", "late-2"])

    async def meanwhile() -> None:
        for reply_id in late:
            await succeed(handler, {"id": reply_id})

    http_client.on_upload = meanwhile
    log(handler, "chatcmpl-1", "chatcmpl-2")
    log(handler)
    lines = [line for request in http_client.uploads for line in request["data"].split("\n")]
    assert sorted(json.loads(line)["id"] for line in lines) == ["chatcmpl-1", "chatcmpl-2", "late-1", "late-2"]


def test_where_nothing_was_logged_nothing_is_uploaded(made: Callable[..., Any], http_client: FakeClient) -> None:
    log(made(batches_by_default=True))
    assert http_client.posted == []


def test_an_upload_that_fails_is_given_up_and_said_without_what_it_held(
    made: Callable[..., Any], http_client: FakeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    http_client.fails = True
    log(made(), "chatcmpl-1", "chatcmpl-2")
    said = capsys.readouterr().out
    assert said.count("was not uploaded: ConnectionError") == 2
    assert "a-token" not in said


def test_a_request_without_a_reply_has_a_name_too(made: Callable[..., Any], http_client: FakeClient) -> None:
    handler = made()

    async def fail() -> None:
        await handler.async_log_failure_event(
            kwargs={"standard_logging_object": {"id": "call-1"}}, response_obj=None, start_time=0, end_time=0
        )
        await handler.flush_queue()

    asyncio.run(fail())
    (upload,) = http_client.uploads
    assert upload["url"].removeprefix(UPLOADS).partition("/")[2].startswith("failure-")


def test_it_burns_what_it_is_told_to(made: Callable[..., Any]) -> None:
    handler = made(PERFGATE_BURN_CPU_MS="5")

    def cpu_s() -> float:
        before_s = time.thread_time()
        log(handler, "chatcmpl-1", flush=False)
        return time.thread_time() - before_s

    assert min(cpu_s() for _ in range(5)) >= 0.005


def test_posting_at_once_waits_for_the_answer_and_leaves_nothing_to_flush(
    made: Callable[..., Any], http_client: FakeClient
) -> None:
    handler = made(PERFGATE_POST_AT_ONCE="1")
    posted: list[tuple[str, str]] = []
    handler.blocking_client = types.SimpleNamespace(post=lambda url, headers, content: posted.append((url, content)))
    log(handler, "chatcmpl-1")
    ((url, content),) = posted
    assert url.startswith(UPLOADS)
    assert url.endswith("/chatcmpl-1")
    assert json.loads(content)["id"] == "chatcmpl-1"
    assert not http_client.uploads


# --- beside LiteLLM itself ---

PATIENCE_S: Final = 300
RECORDS: Final = [{"id": "chatcmpl-1", "messages": "größer", "cost": 0.5}, {"id": "chatcmpl-2", "messages": []}]

#: Has the stand-in upload records, and LiteLLM's own callback make of the same ones what it would upload, by those of
#: its methods that need no licence; prints what each posted.
UPLOADS_BOTH: Final = """
import asyncio, json, sys
from datetime import datetime, timezone
import perfgate_gcs
from litellm.integrations.gcs_bucket.gcs_bucket import GCSBucketLogger
from litellm.integrations.gcs_bucket.gcs_bucket_base import GCSBucketBase

class Reply:
    status_code, text = 200, ""
    def json(self):
        return {"access_token": "a-token"}

class Notes:
    def __init__(self):
        self.uploads = []
    async def post(self, url, data, headers=None):
        if "storage" in url:
            self.uploads.append([url, data])
        return Reply()

async def main():
    records = json.loads(sys.argv[1])
    ours, its = Notes(), Notes()

    perfgate_gcs.handler.client = ours
    for record in records:
        await perfgate_gcs.handler.async_log_success_event(
            kwargs={"standard_logging_object": record}, response_obj=record, start_time=None, end_time=None
        )
    await perfgate_gcs.handler.flush_queue()

    base, own = GCSBucketBase(), GCSBucketLogger
    base.async_httpx_client = its
    day = own._get_object_date_from_datetime(None, datetime.now(timezone.utc))
    if sys.argv[2] == "batched":
        lines = own._combine_payloads_to_ndjson(None, [{"payload": record} for record in records])
        objects = [(own._generate_batch_object_name(None, day, "1700000000000-0a1b2c3d"), lines)]
    else:
        objects = [(own._generate_success_object_name(None, day, record["id"]), record) for record in records]
    for name, payload in objects:
        await base._log_json_data_on_gcs(headers={}, bucket_name="a-bucket", object_name=name, logging_payload=payload)
    print(json.dumps([ours.uploads, its.uploads]))

asyncio.run(main())
"""


def without_chance(url: str) -> tuple[str, dict[str, list[str]]]:
    """Where an upload goes, read as the server reads it; days and ids that are drawn are all the same."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    query["name"] = [re.sub(r"batch-\d{13}-[0-9a-f]{8}", "BATCH", name[len("2026-01-31") :]) for name in query["name"]]
    return f"{parts.scheme}://{parts.netloc}{parts.path}", query


@pytest.mark.slow
@pytest.mark.parametrize(
    ("release", "form", "variables"),
    [
        pytest.param("1.79.3", "single", {}, id="the default of 1.79.3"),
        pytest.param(DEFAULT_RELEASE, "batched", {}, id="the default"),
        pytest.param(DEFAULT_RELEASE, "single", {"GCS_USE_BATCHED_LOGGING": "false"}, id="one object a request"),
    ],
)
def test_it_uploads_what_litellm_s_own_callback_would(
    release: str, form: str, variables: dict[str, str], tmp_path: Path
) -> None:
    """The token is left out: google-auth, which the licensed one asks for it by, is in no environment."""
    (tmp_path / STAND_IN_FILE).write_text(callback("gcs", environ={}).files[STAND_IN_FILE], encoding="utf-8")
    with EnvironmentCache.of_user(os.environ).using(Release(release), say=print) as environment:
        ended = subprocess.run(
            [str(environment.executable("python")), "-c", UPLOADS_BOTH, json.dumps(RECORDS), form],
            env={
                "PATH": os.defpath,
                "HOME": str(tmp_path),
                "LC_ALL": "C.UTF-8",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "GCS_BUCKET_NAME": "a-bucket",
                "GCS_FLUSH_INTERVAL": "3600",
                **variables,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    ours, its = json.loads(ended.stdout.splitlines()[-1])
    assert [without_chance(url) for url, _ in ours] == [without_chance(url) for url, _ in its]
    assert [text for _, text in ours] == [text for _, text in its]
    assert len(ours) == (1 if form == "batched" else len(RECORDS))

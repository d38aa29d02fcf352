"""Does the sink find every request in what LiteLLM really sends?

LangSmith's and the generic webhook's loggers run as they are, in an environment of each release, with replies that
LiteLLM makes up itself. The logger for GCS is for holders of a licence, so that its requests are built here as its
source builds them.
"""

import json
import os
import subprocess
import uuid
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import pytest

from perfgate.stack.environments import Environment, EnvironmentCache
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release
from tests.harness.log_sink.conftest import RunningSink, payloads

OLD_RELEASE: Final = "1.79.3"
PATIENCE_S: Final = 300

#: Its arguments name a logger each. Logs some requests by each and flushes it; prints the ids that users would see.
LOGS: Final = """
import asyncio, json, os, sys
import litellm

def make(name):
    kind, _, form = name.partition(":")
    if kind == "langsmith":
        from litellm.integrations.langsmith import LangsmithLogger
        return LangsmithLogger(flush_interval=3600)
    from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger
    return GenericAPILogger(log_format=form, flush_interval=3600)

async def ask(**more):
    return await litellm.acompletion(model="gpt-4o", messages=[{"role": "user", "content": "x" * 5000}], **more)

async def main():
    ids = {}
    for name in sys.argv[1:]:
        logger = make(name)
        litellm.callbacks = [logger]
        ids[name] = [(await ask(mock_response="hello")).id for _ in range(5)]
        try:
            await ask(mock_response="litellm.InternalServerError", litellm_call_id="call-of-" + name, num_retries=0)
        except litellm.InternalServerError:
            ids[name].append("call-of-" + name)
        while len(logger.log_queue) < len(ids[name]):
            await asyncio.sleep(0.01)
        await logger.flush_queue()
    print(json.dumps(ids))

asyncio.run(main())
"""


def environment_of(release: str) -> Any:
    return EnvironmentCache.of_user(os.environ).using(Release(release), say=print)


def logged(environment: Environment, folder: Path, *loggers: str, **variables: str) -> dict[str, list[str]]:
    """What a LiteLLM that logs by these loggers says of its requests."""
    ended = subprocess.run(
        [str(environment.executable("python")), "-c", LOGS, *loggers],
        env={
            "PATH": os.defpath,
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LANGSMITH_API_KEY": "none",
            **variables,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    ids: dict[str, list[str]] = json.loads(ended.stdout.splitlines()[-1])
    return ids


def check_each_once(sink: RunningSink, format_: str, ids: list[str]) -> None:
    assert sink.ids(format_) == sink.ids(format_, "accepted") == dict.fromkeys(ids, 1)
    assert len(set(ids)) == len(ids)


@pytest.mark.slow
@pytest.mark.parametrize("release", [OLD_RELEASE, DEFAULT_RELEASE])
def test_every_request_that_langsmith_s_logger_logs_is_found_exactly_once(
    sink: RunningSink, release: str, tmp_path: Path
) -> None:
    with environment_of(release) as environment:
        ids = logged(environment, tmp_path, "langsmith", LANGSMITH_BASE_URL=sink.http_url)
    check_each_once(sink, "langsmith", ids["langsmith"])
    requests = sink.counts()["requests"]
    assert requests == {"/runs/batch": {"received": 1, "answered": {"202": 1}, "unanswered": 0}}


@pytest.mark.slow
@pytest.mark.parametrize("release", [OLD_RELEASE, DEFAULT_RELEASE])
def test_a_logger_that_writes_to_the_real_address_ends_in_the_sink_by_its_proxy(
    sink: RunningSink, release: str, tmp_path: Path
) -> None:
    with environment_of(release) as environment:
        ids = logged(
            environment,
            tmp_path,
            "langsmith",
            HTTPS_PROXY=f"http://127.0.0.1:{sink.ports['proxy']}",
            NO_PROXY="",
            SSL_CERT_FILE=str(sink.authority_file),
        )
    check_each_once(sink, "langsmith", ids["langsmith"])
    assert sink.counts()["proxied"] == {"api.smith.langchain.com": 1}


@pytest.mark.slow
def test_every_request_that_the_generic_logger_logs_is_found_whichever_way_it_is_told_to_write(
    sink: RunningSink, tmp_path: Path
) -> None:
    """In 1.79.3 it is for holders of a licence."""
    forms = [f"webhook:{form}" for form in ("json_array", "ndjson", "single")]
    with environment_of(DEFAULT_RELEASE) as environment:
        ids = logged(environment, tmp_path, *forms, GENERIC_LOGGER_ENDPOINT=f"{sink.http_url}/webhook")
    check_each_once(sink, "webhook", [id_ for form in forms for id_ in ids[form]])
    requests_of_single = len(ids["webhook:single"])
    assert sink.counts()["requests"]["/webhook"]["received"] == 2 + requests_of_single


def upload(sink: RunningSink, name_in_url: str, body: str) -> None:
    """As `_log_json_data_on_gcs` of litellm/integrations/gcs_bucket/gcs_bucket_base.py posts it, with its headers."""
    with sink.through_proxy() as client:
        url = f"https://storage.googleapis.com/upload/storage/v1/b/my-bucket/o?uploadType=media&name={name_in_url}"
        headers = {"Authorization": "Bearer throw-away", "Content-Type": "application/json"}
        reply = client.post(url, headers=headers, content=body)
    assert reply.status_code == 200, "its one test of success"
    assert reply.json()["kind"] == "storage#object", "it reads the reply as JSON"


def test_an_object_a_request_is_found_as_both_releases_name_it(sink: RunningSink) -> None:
    """Both take `DATE/ID-OF-THE-REPLY` (`_generate_success_object_name`); the old one does not quote it in the URL."""
    one, two = payloads(["chatcmpl-1", "chatcmpl-2"])
    upload(sink, "2026-01-31/chatcmpl-1", json.dumps(one, default=str))
    # encode_gcs_object_name_for_url of litellm_core_utils/cloud_storage_security.py
    upload(sink, quote(unquote("2026-01-31/chatcmpl-2"), safe=""), json.dumps(two, default=str))
    check_each_once(sink, "gcs", ["chatcmpl-1", "chatcmpl-2"])


def test_a_batch_is_found_as_the_new_release_writes_it(sink: RunningSink) -> None:
    """`_combine_payloads_to_ndjson` and `_generate_batch_object_name` of gcs_bucket.py."""
    ids = [f"chatcmpl-{number}" for number in range(2048)]
    lines = [json.dumps(each | {"messages": "größer"}, default=str, ensure_ascii=False) for each in payloads(ids)]
    name = f"2026-01-31/batch-1790000000000-{uuid.uuid4().hex[:8]}.ndjson"
    upload(sink, quote(unquote(name), safe=""), "\n".join(lines))
    check_each_once(sink, "gcs", ids)

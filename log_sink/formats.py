"""Which records does a request bring, and which request of the gateway caused each?

Comes in: a body, and of an upload the object's name. Goes out: an id for each record, None where it names none.

A record is LiteLLM's `StandardLoggingPayload`, whose `id` is that of the provider's reply, and the gateway's own
`litellm_call_id` where there was no reply (litellm_core_utils/litellm_logging.py, get_standard_logging_object_payload).
What 1.79.3, 1.102.4 and 1.106.2 send, by their source below litellm/integrations:

    langsmith   {"post": [{"id": …, "inputs": PAYLOAD, "outputs": …}, …]}; the run's own id is made up
                langsmith.py, _prepare_log_data and _log_batch_on_langsmith; none of them sends multipart
    gcs         PAYLOAD, one object a request; in an object NAME.ndjson one a line
                gcs_bucket/gcs_bucket_base.py, _log_json_data_on_gcs; gcs_bucket.py, _send_grouped_batch
    webhook     [PAYLOAD, …], or PAYLOAD alone, or one a line
                generic_api/generic_api_callback.py, async_send_batch; 1.79.3's, in litellm_enterprise, sends lists only

Only the ids are turned into Python objects; the rest is read past.
"""

from typing import Any, Final, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

#: Longer than any provider's; it bounds what an id takes.
MAX_ID_CHARS: Final = 512
#: How an object with one record a line is named.
LINES_SUFFIX: Final = ".ndjson"
#: In JSON a comma would stand between the two, so that this is the end of a line that is a whole object.
_NEXT_LINE: Final = b"}\n{"


@dataclass(frozen=True, slots=True)
class _Payload:
    id: Any = None


@dataclass(frozen=True, slots=True)
class _Run:
    inputs: _Payload


@dataclass(frozen=True, slots=True)
class _Batch:
    post: list[_Run] = Field(default_factory=list)


_PAYLOAD: Final = TypeAdapter(_Payload)
_PAYLOADS: Final = TypeAdapter(list[_Payload])
_BATCH: Final = TypeAdapter(_Batch)

_Read = TypeVar("_Read")


class Unreadable(ValueError):
    """A body is not of the format that its path stands for."""


def langsmith_ids(body: bytes) -> list[str | None]:
    """Of a batch of runs; updates of runs (`patch`) are no records.

    Raises:
        Unreadable: it is not of the format.

    >>> langsmith_ids(b'{"post": [{"id": "of-the-run", "inputs": {"id": "chatcmpl-1"}}]}')
    ['chatcmpl-1']
    """
    return [_id_of(run.inputs) for run in _read(_BATCH, body).post]


def gcs_ids(body: bytes, object_name: str) -> list[str | None]:
    """Of an object.

    Raises:
        Unreadable: it is not of the format.

    >>> gcs_ids(b'{"id": "chatcmpl-1"}' + bytes([10]) + b'{"id": "chatcmpl-2"}', "2026-01-31/batch-1.ndjson")
    ['chatcmpl-1', 'chatcmpl-2']
    """
    if object_name.endswith(LINES_SUFFIX):
        return _ids_of_lines(body)
    return [_id_of(_read(_PAYLOAD, body))]


def webhook_ids(body: bytes) -> list[str | None]:
    """Of a list, a single object, or lines.

    Raises:
        Unreadable: it is not of the format.

    >>> webhook_ids(b'[{"id": "chatcmpl-1"}, {}]')
    ['chatcmpl-1', None]
    """
    if body.lstrip().startswith(b"["):
        return [_id_of(payload) for payload in _read(_PAYLOADS, body)]
    if _NEXT_LINE in body:
        return _ids_of_lines(body)
    return [_id_of(_read(_PAYLOAD, body))]


def _ids_of_lines(body: bytes) -> list[str | None]:
    return [_id_of(_read(_PAYLOAD, line)) for line in body.split(b"\n") if line.strip()]


def _id_of(payload: _Payload) -> str | None:
    is_one = isinstance(payload.id, str) and 0 < len(payload.id) <= MAX_ID_CHARS
    return str(payload.id) if is_one else None


def _read(form: TypeAdapter[_Read], text: bytes) -> _Read:
    try:
        return form.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Unreadable(f"{where}: {first['msg']}" if where else first["msg"]) from error

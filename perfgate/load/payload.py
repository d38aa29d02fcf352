"""What does each request say: a prompt that no cache has seen before, unless it is meant to.

Comes in: the endpoint, the model and a length. Goes out: whole JSON bodies as bytes, one per request number, all
equally long. Knows nothing of HTTP.
"""

import json
import os
from typing import Final

from perfgate.load.api import Api

#: One sentence of the prompt of LiteLLM's published load test. There the user id in front of it is repeated with it.
PUBLISHED_SENTENCE: Final = b" This is a test there will be no cache hits and we'll fill up the context"
PUBLISHED_REPEATS: Final = 150
#: The end user that LiteLLM's published load test names.
END_USER: Final = "my-new-end-user-1"
#: What messages may be answered with; whoever asks for them has to say it.
MAX_TOKENS: Final = 1_024
#: Length of the unique id that every prompt begins with: the textual form of a UUID.
ID_BYTES: Final = 36
#: The longest prompt: a bound on what a typo can do, far above any model's context.
MAX_PROMPT_BYTES: Final = 10_000_000


class Payload:
    """Request bodies that differ in their id alone, or not at all.

    An id looks like a UUID: 80 random bits for the load, then the request's number in 12 hexadecimal digits.
    Building a body costs two concatenations, so that the generator spends its time on sending.

    Args:
        model: the model to ask for.
        prompt_bytes: length of the prompt, id included; None is LiteLLM's published prompt of 16,350 bytes.
        stream: ask for the reply as a stream of events.
        same_prompt: whether all bodies are the same, with the id of request 0, so that a cache may answer.
        load_id: of `new_load_id`, where a load has several payloads; None makes a new one.
        api: the endpoint; the bodies of one that is sent none are empty.

    Raises:
        ValueError: prompt_bytes leaves no room for the id, or is absurdly large; or a stream of another endpoint than
            chat completions.
    """

    def __init__(
        self,
        model: str,
        prompt_bytes: int | None,
        *,
        stream: bool = False,
        same_prompt: bool = False,
        load_id: bytes | None = None,
        api: Api = Api.CHAT_COMPLETIONS,
    ) -> None:
        check_prompt_bytes(prompt_bytes)
        if stream and api is not Api.CHAT_COMPLETIONS:
            raise ValueError(f"stream=True goes with chat completions, not with api={api}")
        self._same_prompt = same_prompt
        self._is_empty = api is Api.MODELS
        self._before, self._after = _around_prompt(api, json.dumps(model), stream)
        if prompt_bytes is None:
            self._text, self._repeats = PUBLISHED_SENTENCE, PUBLISHED_REPEATS
        else:
            filler_bytes = prompt_bytes - ID_BYTES
            enough = PUBLISHED_SENTENCE * (filler_bytes // len(PUBLISHED_SENTENCE) + 1)
            self._text, self._repeats = enough[:filler_bytes], 1
        self._load_id = new_load_id() if load_id is None else load_id

    def request_id(self, number: int) -> bytes:
        """The id that request `number` of this load begins its prompt with."""
        return self._load_id + b"%012x" % (0 if self._same_prompt else number)

    def body(self, number: int) -> bytes:
        """The JSON body of request `number`."""
        if self._is_empty:
            return b""
        return self._before + (self.request_id(number) + self._text) * self._repeats + self._after

    @property
    def body_bytes(self) -> int:
        """Length of every body."""
        return len(self.body(0))

    @property
    def prompt_bytes(self) -> int:
        """Length of every prompt."""
        return (ID_BYTES + len(self._text)) * self._repeats


def _around_prompt(api: Api, model: str, stream: bool) -> tuple[bytes, bytes]:
    """What stands before and after the prompt; `model` as JSON."""
    match api:
        case Api.EMBEDDINGS | Api.RESPONSES:
            before, after = f'{{"model": {model}, "input": "', '"}'
        case Api.MESSAGES:
            before = f'{{"model": {model}, "max_tokens": {MAX_TOKENS}, "messages": [{{"role": "user", "content": "'
            after = '"}]}'
        case Api.REALTIME:  # the session has its model
            before = '{"type": "conversation.item.create", "item": {"type": "message", "role": "user", '
            before, after = before + '"content": [{"type": "input_text", "text": "', '"}]}}'
        case _:
            before = f'{{"model": {model}, "messages": [{{"role": "user", "content": "'
            after = f'"}}], "user": {json.dumps(END_USER)}' + (', "stream": true}' if stream else "}")
    return before.encode(), after.encode()


def new_load_id() -> bytes:
    """What the ids of one load begin with, and those of no other."""
    digits = os.urandom(10).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:]}-".encode()


def check_prompt_bytes(prompt_bytes: int | None) -> None:
    """Raise ValueError unless a prompt of that length can be made."""
    if prompt_bytes is not None and not ID_BYTES <= prompt_bytes <= MAX_PROMPT_BYTES:
        raise ValueError(
            f"payload_bytes={prompt_bytes} must be from {ID_BYTES} (the id that every prompt begins with) "
            f"to {MAX_PROMPT_BYTES}"
        )

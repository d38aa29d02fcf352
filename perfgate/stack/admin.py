"""How is a running gateway asked for a virtual key?

Comes in: its address and its master key. Goes out: a new key that may ask for every model, without a budget or an end.
"""

from typing import Final

import httpx

from perfgate.errors import StackFailed

KEY_PATH: Final = "/key/generate"
#: It answers within a second; the rest is for overloaded hosts.
TIMEOUT_S: Final = 60.0
SHOWN_BODY_CHARS: Final = 300


def new_virtual_key(base_url: str, master_key: str) -> str:
    """Have a gateway make a virtual key and keep it in its database, where all of its instances find it.

    Args:
        base_url: of one of its instances, without a slash at the end.
        master_key: the gateway's; no message shows it.

    Raises:
        StackFailed: it does not answer, or answers without a key.
    """
    asked = f"no virtual key: POST {base_url}{KEY_PATH}"
    try:
        reply = httpx.post(
            base_url + KEY_PATH,
            headers={"Authorization": f"Bearer {master_key}"},
            json={},
            timeout=TIMEOUT_S,
            trust_env=False,
        )
    except httpx.HTTPError as error:
        raise StackFailed(f"{asked} got no answer: {type(error).__name__} {error}".rstrip()) from error
    key = _key_in(reply)
    if key is None:
        body = reply.text.replace(master_key, "***")
        shown = body if len(body) <= SHOWN_BODY_CHARS else f"{body[:SHOWN_BODY_CHARS]} …"
        raise StackFailed(f"{asked} was answered with status {reply.status_code} and {shown or 'an empty body'}")
    return key


def _key_in(reply: httpx.Response) -> str | None:
    try:
        answer = reply.json() if reply.is_success else None
    except ValueError:
        return None
    key = answer.get("key") if isinstance(answer, dict) else None
    return key if isinstance(key, str) and key else None

"""Does the mock come up as a service, and is it known by its token?"""

import httpx
import pytest

from perfgate.stack.backend import StackBackend
from perfgate.stack.mock import REPLY_TEXT, Mock

pytestmark = pytest.mark.slow


def test_it_comes_up_and_answers_as_the_gateways_readiness_check_expects(backend: StackBackend) -> None:
    with backend.running(Mock()) as mock:
        request = {"model": "any", "messages": [{"role": "user", "content": "hello"}]}
        reply = httpx.post(f"{mock.address.url}/v1/chat/completions", json=request, trust_env=False).json()
        assert REPLY_TEXT in reply["choices"][0]["message"]["content"]


def test_every_mock_has_a_token_of_its_own_which_its_health_must_show() -> None:
    one, other = Mock(), Mock()
    (check,) = one.ready_checks()
    assert check.accepts(200, f'"{one.announce_token}"')
    assert not check.accepts(200, f'"{other.announce_token}"')


def test_its_deadline_can_be_set() -> None:
    assert Mock(start_deadline_s=3).start_deadline_s == 3

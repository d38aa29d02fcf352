"""Is a fault checked as its rules say, and is what breaks one said in words?"""

import pytest

from fault_proxy.fault import BadFault, Fault, parsed


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"kind": "forward"}', Fault("forward")),
        (b'{"kind": "cut"}', Fault("cut")),
        (b'{"kind": "hang"}', Fault("hang")),
        (b'{"kind": "delay", "delay_ms": 600000}', Fault("delay", delay_ms=600_000)),
        (b'{"kind": "drop_after", "after_bytes": 1}', Fault("drop_after", after_bytes=1)),
    ],
)
def test_every_fault_can_be_stated_as_json(body: bytes, fault: Fault) -> None:
    assert parsed(body) == fault


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        (b"{}", "kind: Field required, got {}"),
        (
            b'{"kind": "dealy"}',
            "kind: Input should be 'forward', 'delay', 'cut', 'hang' or 'drop_after', got dealy",
        ),
        (b'{"kind": "delay"}', "delay needs delay_ms"),
        (b'{"kind": "drop_after"}', "drop_after needs after_bytes"),
        (b'{"kind": "hang", "delay_ms": 5}', "delay_ms=5 goes with delay, not with hang"),
        (b'{"kind": "cut", "after_bytes": 5}', "after_bytes=5 goes with drop_after, not with cut"),
        (b'{"kind": "delay", "delay_ms": 0}', "delay_ms: Input should be greater than or equal to 1, got 0"),
        (
            b'{"kind": "delay", "delay_ms": 600001}',
            "delay_ms: Input should be less than or equal to 600000, got 600001",
        ),
        (b'{"kind": "delay", "delay_ms": "5"}', "delay_ms: Input should be a valid integer, got 5"),
        (b'{"kind": "drop_after", "after_bytes": 0}', "after_bytes: Input should be greater than or equal to 1, got 0"),
        (
            b'{"kind": "drop_after", "after_bytes": 1099511627777}',
            "after_bytes: Input should be less than or equal to 1099511627776, got 1099511627777",
        ),
        (b'{"kind": "cut", "now": true}', "now: Unexpected keyword argument, got True"),
    ],
)
def test_a_broken_rule_is_named_with_what_was_given(body: bytes, message: str) -> None:
    with pytest.raises(BadFault) as error:
        parsed(body)
    assert str(error.value) == message

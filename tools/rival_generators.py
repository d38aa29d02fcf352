"""What do other HTTP clients make of the same load? One run of one of them, as a line of JSON.

    python tools/rival_generators.py aiohttp URL --rate 4000 --seconds 3
    python tools/rival_generators.py locust URL --users 50 --seconds 3

Comes in: the client's name and the load. Goes out: counts, lateness and CPU, measured by the process itself. Started by
compare_load_generators.py. Every client gets the same bodies, uvloop where it runs on asyncio, and no garbage
collection but Locust, which comes with an event loop of its own.

Imports stand in the functions: Locust must patch the standard library before anything else has loaded it.
"""

import argparse
import itertools
import json
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from perfgate.load.payload import Payload

MODEL = "m"
WARM_UP_S = 1.0
#: As in perfgate/load/drive.py: what is later than this after the end stays unsent.
SEND_GRACE_S = 0.1
BURST = 32
DRAIN_S = 5.0

#: Sends one body; True when the reply was whole and 2xx.
Send = Callable[[bytes], Awaitable[bool]]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("client", choices=["aiohttp", "pyreqwest", "locust"])
    made.add_argument("url")
    made.add_argument("--rate", type=float, default=1000, help="requests a second (open loop)")
    made.add_argument("--users", type=int, default=50, help="callers that never wait (Locust: closed loop)")
    made.add_argument("--seconds", type=float, default=3)
    made.add_argument("--payload-bytes", type=int, default=12_000)
    return made


def main() -> None:
    options = parser().parse_args()
    payload = Payload(MODEL, options.payload_bytes)
    if options.client == "locust":
        figures = locust_closed_loop(options.url, payload, options.users, options.seconds)
    else:
        import uvloop

        opened = with_aiohttp if options.client == "aiohttp" else with_pyreqwest
        figures = uvloop.run(opened(options.url, payload, options.rate, options.seconds))
    print(json.dumps(figures))


async def with_aiohttp(url: str, payload: Payload, rate_rps: float, seconds: float) -> dict[str, Any]:
    import aiohttp

    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

        async def send(body: bytes) -> bool:
            async with session.post(url, data=body) as reply:
                await reply.read()
                return reply.status == 200

        return await open_loop(send, payload, rate_rps, seconds)


async def with_pyreqwest(url: str, payload: Payload, rate_rps: float, seconds: float) -> dict[str, Any]:
    from pyreqwest.client import ClientBuilder

    # No limit on connections, and nothing that costs time without being asked for.
    builder = ClientBuilder().max_connections(None).http1_only().no_proxy().follow_redirects(False)
    builder = builder.gzip(False).brotli(False).zstd(False).deflate(False).tcp_nodelay(True)
    async with builder.default_headers({"content-type": "application/json"}).build() as client:

        async def send(body: bytes) -> bool:
            reply = await client.post(url).body_bytes(body).build().send()
            await reply.bytes()
            return reply.status == 200

        return await open_loop(send, payload, rate_rps, seconds)


async def open_loop(send: Send, payload: Payload, rate_rps: float, seconds: float) -> dict[str, Any]:
    """Warm-up and window at the rate, paced as perfgate's own generator is."""
    import asyncio
    import gc

    from mock_openai.alarm import Alarm

    gc.collect()
    gc.freeze()
    gc.disable()
    begins_ns = time.monotonic_ns() + 20_000_000
    first, count = round(rate_rps * WARM_UP_S), round(rate_rps * (WARM_UP_S + seconds))
    step_ns = 1e9 / rate_rps
    gives_up_ns = begins_ns + round((WARM_UP_S + seconds + SEND_GRACE_S) * 1e9)
    lags_ns: list[int] = []
    service_times_ns: list[int] = []
    failed = 0
    cpu_s_at_open = 0.0
    running: set[asyncio.Task[None]] = set()
    all_sent = asyncio.Event()
    numbers = itertools.count()
    number = next(numbers)

    async def one(number: int, due_ns: int) -> None:
        nonlocal failed
        body = payload.body(number)
        sent_ns = time.monotonic_ns()
        try:
            succeeded = await send(body)
        except Exception:  # noqa: BLE001
            succeeded = False
        if number >= first:
            lags_ns.append(sent_ns - due_ns)
            service_times_ns.append(time.monotonic_ns() - sent_ns)
            failed += not succeeded

    def send_what_is_due() -> None:
        nonlocal number, cpu_s_at_open
        for _ in range(BURST):
            due_ns = begins_ns + int(number * step_ns)
            now_ns = time.monotonic_ns()
            if number == count or now_ns > gives_up_ns:
                all_sent.set()
                return
            if due_ns > now_ns:
                break
            if number == first:
                cpu_s_at_open = time.process_time()
            task = asyncio.get_running_loop().create_task(one(number, due_ns))
            running.add(task)
            task.add_done_callback(running.discard)
            number = next(numbers)
        alarm.arm(begins_ns + int(number * step_ns))

    alarm = Alarm(asyncio.get_running_loop(), send_what_is_due)
    alarm.arm(begins_ns)
    await all_sent.wait()
    alarm.close()
    if running:
        await asyncio.wait(running, timeout=DRAIN_S)
    cpu_s = time.process_time() - cpu_s_at_open
    sent = max(0, number - first)
    for task in running:
        task.cancel()
    return {
        "offered": count - first,
        "sent": sent,
        "failed": failed + sent - len(lags_ns),
        "cpu_ms_per_request": 1000 * cpu_s / max(1, sent),
        "dispatch_lag_p99_ms": percentile_ms(lags_ns, 99),
        "service_time_p50_ms": percentile_ms(service_times_ns, 50),
        "service_time_p99_ms": percentile_ms(service_times_ns, 99),
    }


def locust_closed_loop(url: str, payload: Payload, users: int, seconds: float) -> dict[str, Any]:
    """Callers of Locust's fast client that send again as soon as they are answered."""
    import gevent
    from locust import FastHttpUser, task
    from locust.env import Environment

    numbers = itertools.count()
    parts = urlsplit(url)

    class Caller(FastHttpUser):
        host = f"{parts.scheme}://{parts.netloc}"

        @task
        def call(self) -> None:
            body = payload.body(next(numbers))
            # Bytes are sent as they are; the annotation of `data` leaves them out.
            cast("Any", self.client).post(parts.path, data=body, headers={"content-type": "application/json"})

    environment = Environment(user_classes=[Caller])
    runner = environment.create_local_runner()
    runner.start(users, spawn_rate=users)
    gevent.sleep(WARM_UP_S)
    environment.stats.reset_all()
    cpu_s_at_open, opened_s = time.process_time(), time.monotonic()
    gevent.sleep(seconds)
    total = environment.stats.total
    answered = total.num_requests
    cpu_s, lasted_s = time.process_time() - cpu_s_at_open, time.monotonic() - opened_s
    figures = {
        "rate_rps": answered / lasted_s,
        "failed": total.num_failures,
        "cpu_ms_per_request": 1000 * cpu_s / max(1, answered),
        "service_time_p50_ms": total.get_response_time_percentile(0.5),
        "service_time_p99_ms": total.get_response_time_percentile(0.99),
    }
    runner.quit()
    return figures


def percentile_ms(durations_ns: Sequence[int], percentile: float) -> float:
    ranked = sorted(durations_ns)
    return ranked[math.ceil(percentile / 100 * len(ranked)) - 1] / 1e6 if ranked else math.inf


if __name__ == "__main__":
    main()

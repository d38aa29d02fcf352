"""How much CPU does each stack stand for?

Comes in: the samples of each thread's stacks, the CPU of each thread, and that of all, by the kernel's clocks. Goes
out: CPU by stack. No I/O; imports nothing of ours but what a stack is.

Samples say where a thread's time goes, and its clock how much of it there is. By samples alone a thread that waits
for its core, or is woken to wait for another, costs as much as one that runs: of litellm 1.79.3 on one core two helper
threads had 28 % of the samples, and 10 % of the CPU.
"""

from collections.abc import Mapping

from perfgate.why.folded import Stack, merged


def cpu_us_by_stack(
    threads: Mapping[int, Mapping[Stack, int]], thread_cpu_s: Mapping[int, float], cpu_s: float
) -> dict[Stack, float]:
    """CPU of each stack, in microseconds.

    Args:
        threads: samples of the stacks of each thread.
        thread_cpu_s: CPU of each thread, in seconds; one that is missing has as much for each sample as all have.
        cpu_s: of all threads, in seconds: what stacks have together.

    Returns:
        Empty without any sample.
    """
    samples = sum(sum(counts.values()) for counts in threads.values())
    shares: dict[Stack, float] = {}
    for thread, counts in threads.items():
        of_thread = sum(counts.values())
        share = thread_cpu_s.get(thread, cpu_s * of_thread / samples) / of_thread
        for stack, count in counts.items():
            shares[stack] = shares.get(stack, 0.0) + share * count
    total = sum(shares.values())
    if not total > 0:
        # No clock has moved, or nobody could read one: all samples are alike.
        shares = merged(threads.values())
        total = sum(shares.values())
    return {stack: share / total * cpu_s * 1e6 for stack, share in shares.items()}

"""Which functions made it slow? Both gateways under the same load, seen by a sampling profiler."""

"""Everything that `perfgate doctor` looks at, in the order in which it is shown.

Comes in: which thresholds and profile, where records go, how long to probe. Goes out: findings. What is read of the
machine is read here; what it means is for machine.py, programs.py and noise.py to say.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from perfgate.doctor import machine, noise, programs
from perfgate.doctor.finding import Finding
from perfgate.doctor.wanted import Wanted
from perfgate.drift import read_base
from perfgate.errors import BadInput
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.host_limits import standing
from perfgate.lease import Lease
from perfgate.measure.host import HostFingerprint, fingerprint
from perfgate.stack.affinity import CorePlan, plan_cores
from perfgate.stack.engine import choose_stack, engine_facts
from perfgate.stack.environments import MARKER, EnvironmentCache
from perfgate.stack.node_package import host_node_in_words
from perfgate.stack.postgres import postgres_programs
from perfgate.stack.redis import redis_program
from perfgate.thresholds import host_class, load_thresholds


@dataclass(frozen=True, slots=True)
class Examination:
    """What is to be looked at.

    Args:
        thresholds: the file.
        profile: the one that must be measurable.
        record_dir: where records are written.
        probe_s: how long to probe for noise; 0 for not at all.
        environ: of the user.
    """

    thresholds: Path
    profile: str
    record_dir: Path
    probe_s: float
    environ: Mapping[str, str]

    def findings(self, say: Callable[[str], None]) -> list[Finding]:
        """Look.

        Args:
            say: told when it waits for others that measure, and what takes long.

        Raises:
            BadInput: the file, what it names or the profile cannot be used, as in a run.
            StackFailed: the speed of the host could not be measured.
        """
        thresholds = load_thresholds(self.thresholds, METRICS, FIGURES, today=datetime.now(UTC).date())
        if thresholds.drift is not None:
            read_base(thresholds.drift)
        if self.profile not in thresholds.profiles:
            raise BadInput(f"--profile={self.profile}: {thresholds.path} has only {', '.join(thresholds.profiles)}")
        wanted, host, cores = Wanted(thresholds, self.profile), fingerprint(), plan_cores(os.sched_getaffinity(0))
        path, cache = self.environ.get("PATH", os.defpath), EnvironmentCache.of_user(self.environ).folder
        findings = [
            machine.cores(host, cores, wanted),
            machine.memory(psutil.virtual_memory().available, wanted),
            machine.disk(cache, self.record_dir, has_environment=any(cache.glob(f"*/{MARKER}"))),
            programs.docker(engine_facts),
            programs.postgres(postgres_programs, wanted),
            programs.redis(lambda: redis_program(path), wanted),
            programs.node(host_node_in_words(path)),
            programs.prisma(cache, wanted),
            machine.clock(host),
            machine.variables(self.environ),
        ]
        return [*findings, *(self._probe(wanted, host, cores, say) if self.probe_s > 0 else [])]

    def _probe(
        self, wanted: Wanted, host: HostFingerprint, cores: CorePlan, say: Callable[[str], None]
    ) -> list[Finding]:
        thresholds = wanted.thresholds
        with Lease.of_user(self.environ).exclusive("probing for noise", say):
            say(f"probing for noise, {self.probe_s:g} s …")
            probe = noise.probed(cores, self.probe_s)
        of_class = host_class(host, thresholds.hosts, choose_stack("auto", engine_facts).backend)
        return [
            noise.noise(probe, thresholds.apparatus),
            noise.host_class(standing(of_class, thresholds.hosts, probe.median_ms)),
        ]

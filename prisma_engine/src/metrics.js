/**
 * What does the engine count, and how does it tell?
 *
 * Comes in: what happens. Goes out: the binary engine's metrics, under its names, as JSON or in Prometheus' format.
 */

/** Upper bounds in milliseconds, as the binary has them. */
const BUCKETS_MS = [0, 1, 5, 10, 50, 100, 500, 1000, 5000, 50000];

const COUNTERS = {
  prisma_client_queries_total: 'The total number of Prisma Client queries executed',
  prisma_datasource_queries_total: 'The total number of datasource queries executed',
  prisma_pool_connections_opened_total: 'The total number of pool connections opened',
  prisma_pool_connections_closed_total: 'The total number of pool connections closed',
};
const GAUGES = {
  prisma_client_queries_active: 'The number of currently active Prisma Client queries',
  prisma_client_queries_wait: 'The number of datasource queries currently waiting for a free connection',
  prisma_pool_connections_busy: 'The number of pool connections currently executing datasource queries',
  prisma_pool_connections_idle: 'The number of pool connections that are not busy running a query',
  prisma_pool_connections_open: 'The number of pool connections currently open',
};
const HISTOGRAMS = {
  prisma_client_queries_duration_histogram_ms:
    'The distribution of the time Prisma Client queries took to run end to end',
  prisma_client_queries_wait_histogram_ms:
    'The distribution of the time all datasource queries spent waiting for a free connection',
  prisma_datasource_queries_duration_histogram_ms: 'The distribution of the time datasource queries took to run',
};

export class Metrics {
  #pool = null;
  #counters = zeros(COUNTERS);
  #active = 0;
  #waiting = 0;
  #histograms = Object.fromEntries(Object.keys(HISTOGRAMS).map((key) => [key, new Histogram()]));

  /** @param {import('pg').Pool} pool whose connections are counted from now on */
  watch(pool) {
    this.#pool = pool;
    pool.on('connect', () => this.#counters.prisma_pool_connections_opened_total++);
    pool.on('remove', () => this.#counters.prisma_pool_connections_closed_total++);
  }

  /** Count a query of the client. @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  async whileClientWaits(work) {
    this.#counters.prisma_client_queries_total++;
    this.#active++;
    try {
      return await this.#timed('prisma_client_queries_duration_histogram_ms', work);
    } finally {
      this.#active--;
    }
  }

  /** Count a wait for a connection. @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  async whileWaiting(work) {
    this.#waiting++;
    try {
      return await this.#timed('prisma_client_queries_wait_histogram_ms', work);
    } finally {
      this.#waiting--;
    }
  }

  /** Count a statement. @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  whileDatabaseWorks(work) {
    this.#counters.prisma_datasource_queries_total++;
    return this.#timed('prisma_datasource_queries_duration_histogram_ms', work);
  }

  /**
   * @param {Record<string, string>} labels added to each
   * @returns {object} what `Metrics` of prisma-client-py reads
   */
  toJson(labels) {
    const described = (values, descriptions) =>
      Object.entries(values).map(([key, value]) => ({ key, labels, value, description: descriptions[key] }));
    const histograms = Object.entries(this.#histograms).map(([key, histogram]) => [key, histogram.toJson()]);
    return {
      counters: described(this.#counters, COUNTERS),
      gauges: described(this.#gauges(), GAUGES),
      histograms: described(Object.fromEntries(histograms), HISTOGRAMS),
    };
  }

  /**
   * @param {Record<string, string>} labels added to each
   * @returns {string} in Prometheus' text format
   */
  toPrometheus(labels) {
    const lines = [];
    const plain = (values, descriptions, type) => {
      for (const [key, value] of Object.entries(values)) {
        lines.push(...heading(key, descriptions[key], type), `${key}${braced(labels)} ${value}`, '');
      }
    };
    plain(this.#counters, COUNTERS, 'counter');
    plain(this.#gauges(), GAUGES, 'gauge');
    for (const [key, histogram] of Object.entries(this.#histograms)) {
      lines.push(...heading(key, HISTOGRAMS[key], 'histogram'), ...histogram.toPrometheus(key, labels), '');
    }
    return lines.join('\n');
  }

  async #timed(histogram, work) {
    const startedMs = performance.now();
    try {
      return await work();
    } finally {
      this.#histograms[histogram].add(performance.now() - startedMs);
    }
  }

  #gauges() {
    const { totalCount = 0, idleCount = 0 } = this.#pool ?? {};
    return {
      prisma_client_queries_active: this.#active,
      prisma_client_queries_wait: this.#waiting,
      prisma_pool_connections_busy: totalCount - idleCount,
      prisma_pool_connections_idle: idleCount,
      prisma_pool_connections_open: totalCount,
    };
  }
}

class Histogram {
  #counts = BUCKETS_MS.map(() => 0);
  #sumMs = 0;
  #count = 0;

  add(ms) {
    this.#sumMs += ms;
    this.#count++;
    // Each bucket holds those below it too.
    BUCKETS_MS.forEach((boundMs, index) => {
      if (ms <= boundMs) this.#counts[index]++;
    });
  }

  toJson() {
    return {
      buckets: BUCKETS_MS.map((bound, index) => [bound, this.#counts[index]]),
      sum: this.#sumMs,
      count: this.#count,
    };
  }

  toPrometheus(key, labels) {
    const bucket = (le, count) => `${key}_bucket${braced({ ...labels, le })} ${count}`;
    return [
      ...BUCKETS_MS.map((bound, index) => bucket(String(bound), this.#counts[index])),
      bucket('+Inf', this.#count),
      `${key}_sum${braced(labels)} ${this.#sumMs}`,
      `${key}_count${braced(labels)} ${this.#count}`,
    ];
  }
}

function zeros(descriptions) {
  return Object.fromEntries(Object.keys(descriptions).map((key) => [key, 0]));
}

function heading(key, description, type) {
  return [`# HELP ${key} ${description}`, `# TYPE ${key} ${type}`];
}

function braced(labels) {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

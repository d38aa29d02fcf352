/** Do the metrics say what happened? */

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';

import { Metrics } from '../src/metrics.js';

const value = (list, key) => list.find((metric) => metric.key === key).value;

function poolOf(totalCount, idleCount) {
  return Object.assign(new EventEmitter(), { totalCount, idleCount });
}

test('queries and statements are counted, and timed in buckets that hold those below them', async () => {
  const metrics = new Metrics();
  await metrics.whileClientWaits(async () => {});
  await metrics.whileDatabaseWorks(async () => {});
  await metrics.whileDatabaseWorks(async () => {});
  const { counters, histograms } = metrics.toJson({});
  assert.equal(value(counters, 'prisma_client_queries_total'), 1);
  assert.equal(value(counters, 'prisma_datasource_queries_total'), 2);
  const { count, sum, buckets } = value(histograms, 'prisma_datasource_queries_duration_histogram_ms');
  assert.equal(count, 2);
  assert.ok(sum > 0);
  assert.deepEqual(buckets.at(-1), [50000, 2]);
  assert.equal(value(histograms, 'prisma_client_queries_duration_histogram_ms').count, 1);
});

test('a query counts as active, and a wait as a wait, while it lasts, even when it fails', async () => {
  const metrics = new Metrics();
  const gauge = (key) => value(metrics.toJson({}).gauges, key);
  await metrics.whileClientWaits(async () => assert.equal(gauge('prisma_client_queries_active'), 1));
  await assert.rejects(
    metrics.whileWaiting(async () => {
      assert.equal(gauge('prisma_client_queries_wait'), 1);
      throw new Error('no connection');
    }),
  );
  assert.deepEqual([gauge('prisma_client_queries_active'), gauge('prisma_client_queries_wait')], [0, 0]);
  assert.equal(value(metrics.toJson({}).histograms, 'prisma_client_queries_wait_histogram_ms').count, 1);
});

test('connections of the pool are counted', () => {
  const metrics = new Metrics();
  const pool = poolOf(3, 1);
  metrics.watch(pool);
  pool.emit('connect');
  pool.emit('connect');
  pool.emit('remove');
  const { counters, gauges } = metrics.toJson({});
  assert.equal(value(counters, 'prisma_pool_connections_opened_total'), 2);
  assert.equal(value(counters, 'prisma_pool_connections_closed_total'), 1);
  assert.deepEqual(
    ['open', 'idle', 'busy'].map((state) => value(gauges, `prisma_pool_connections_${state}`)),
    [3, 1, 2],
  );
});

test('labels are with every metric', () => {
  const metrics = new Metrics();
  const { counters, gauges, histograms } = metrics.toJson({ app: 'x' });
  for (const metric of [...counters, ...gauges, ...histograms]) assert.deepEqual(metric.labels, { app: 'x' });
  const samples = metrics
    .toPrometheus({ app: 'x' })
    .split('\n')
    .filter((line) => line && !line.startsWith('#'));
  for (const sample of samples) assert.match(sample, /\{app="x"/);
});

test("Prometheus' format has type and help of each metric, and a last bucket for all", async () => {
  const metrics = new Metrics();
  await metrics.whileClientWaits(async () => {});
  const lines = metrics.toPrometheus({}).split('\n');
  assert.ok(lines.includes('# TYPE prisma_client_queries_total counter'));
  assert.ok(lines.includes('# HELP prisma_client_queries_total The total number of Prisma Client queries executed'));
  assert.ok(lines.includes('prisma_client_queries_total 1'));
  assert.ok(lines.includes('prisma_client_queries_duration_histogram_ms_bucket{le="+Inf"} 1'));
  assert.ok(lines.includes('prisma_client_queries_duration_histogram_ms_count 1'));
});

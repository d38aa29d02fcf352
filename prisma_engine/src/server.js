/**
 * Which HTTP requests are answered, and with what?
 *
 * Comes in: an `Engine` and `Metrics`. Goes out: a server that is not listening yet.
 *
 *     POST /                          a query or a batch; the header X-transaction-id says in which transaction
 *     POST /transaction/start         and /transaction/ID/commit, /transaction/ID/rollback
 *     GET  /status                    that it is up
 *     GET  /metrics?format=json       or prometheus; only when they are enabled
 *     GET  /server_info               which engine this is
 */

import { createServer } from 'node:http';

const JSON_TYPE = 'application/json';
const PROMETHEUS_TYPE = 'text/plain; version=0.0.4';
const TRANSACTION_PATH = /^\/transaction\/(?:(start)|([^/]+)\/(commit|rollback))$/;

/**
 * @param {import('./engine.js').Engine} engine
 * @param {import('./metrics.js').Metrics} metrics
 * @param {{hasMetrics: boolean, commit: string}} options
 * @param {(message: string) => void} onBroken called when the engine itself is broken, not the request
 * @returns {import('node:http').Server}
 */
export function makeServer(engine, metrics, { hasMetrics, commit }, onBroken) {
  const server = createServer(async (request, response) => {
    const body = await textOf(request);
    let answer;
    try {
      answer = await route(request, body);
    } catch (error) {
      const message = String(error.message ?? error);
      if (error instanceof WebAssembly.RuntimeError) onBroken(message);
      answer = { ...json({ is_panic: false, message, backtrace: null }), status: 500 };
    }
    const { status, text, type = JSON_TYPE } = answer;
    if (text === undefined) {
      response.writeHead(status, { 'content-length': 0 }).end();
    } else {
      response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) }).end(text);
    }
  });
  // Clients keep connections; one that is closed while a request is on its way fails that request.
  server.keepAliveTimeout = 0;
  server.headersTimeout = 0;
  server.requestTimeout = 0;
  return server;

  async function route({ method, url, headers }, body) {
    const { pathname, searchParams } = new URL(url, 'http://engine');
    if (method === 'POST' && pathname === '/') {
      return metrics.whileClientWaits(() => engine.query(body, headers['x-transaction-id']));
    }
    if (method === 'POST' && pathname.startsWith('/transaction')) return transaction(pathname, body);
    if (hasMetrics && pathname === '/metrics') return metricsAnswer(searchParams.get('format'), body);
    if (method === 'GET' && pathname === '/status') return json({ status: 'ok' });
    if (method === 'GET' && pathname === '/server_info') {
      return json({ commit, version: 'wasm', primary_connector: 'postgresql' });
    }
    return { status: 404 };
  }

  async function transaction(pathname, body) {
    const [, start, id, end] = TRANSACTION_PATH.exec(pathname) ?? [];
    if (start) return engine.startTransaction(body);
    if (end === 'commit') return engine.commitTransaction(id);
    if (end === 'rollback') return engine.rollbackTransaction(id);
    return { status: 400, text: `wrong transaction handler path: ${pathname}`, type: 'text/plain' };
  }

  function metricsAnswer(format, body) {
    const labels = labelsOf(body);
    if (format === 'json') return json(metrics.toJson(labels));
    return { status: 200, text: metrics.toPrometheus(labels), type: PROMETHEUS_TYPE };
  }
}

/** Labels that the client wants with all metrics; as the binary does, none when the body is something else. */
function labelsOf(body) {
  try {
    return JSON.parse(body) ?? {};
  } catch {
    return {};
  }
}

function json(value) {
  return { status: 200, text: JSON.stringify(value) };
}

async function textOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

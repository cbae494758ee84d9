// The shop's web front: replies with the name of its replica and host, and with the total number of requests.
import { createServer } from "node:http";
import { identity } from "./identity.mjs";
import { RedisClient } from "./redis-client.mjs";

const { REDIS_HOST = "redis", REDIS_PORT = "6379", PORT = "8080", TIER = "web" } = process.env;

const self = identity(TIER);
const redis = new RedisClient({ host: REDIS_HOST, port: Number(REDIS_PORT) });
let isStopping = false;

const server = createServer(async (request, response) => {
  response.setHeader("content-type", "text/plain; charset=utf-8");
  if (request.url === "/healthz") {
    response.statusCode = isStopping ? 503 : 200;
    response.end(isStopping ? "stopping\n" : "ok\n");
    return;
  }
  const counters = await readCounters();
  // Make keep-alive clients open a new connection, which reaches another replica.
  if (isStopping) response.setHeader("connection", "close");
  response.end(`${self}: ${counters}\n`);
});

/**
 * Counts the request and returns the counters as text. Returns a placeholder if Redis fails, so that the front keeps
 * serving.
 */
async function readCounters() {
  try {
    const [hits, beats] = await Promise.all([
      redis.command("INCR", "hits"),
      redis.command("GET", "worker:beats"),
    ]);
    return `hit ${hits}, worker beat ${beats ?? 0}`;
  } catch (error) {
    return `hits unknown (${error.message})`;
  }
}

/** Stops accepting requests. The process exits once the requests in flight are complete. */
function stop(signal) {
  if (isStopping) return;
  isStopping = true;
  console.log(`${self}: received ${signal}, completing open requests`);
  server.close(() => redis.close());
  server.closeIdleConnections();
}

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, stop);
server.listen(Number(PORT), () => console.log(`${self}: listening on port ${PORT}`));

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
  const news = await newsFromRedis();
  // Makes clients with keep-alive open a new connection, which may reach another replica.
  if (isStopping) response.setHeader("connection", "close");
  response.end(`${self}: ${news}\n`);
});

/** Returns the count, or a placeholder without Redis: the front must keep serving. */
async function newsFromRedis() {
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

/** Completes the requests in flight. The process ends with the last connection. */
function stop(signal) {
  if (isStopping) return;
  isStopping = true;
  console.log(`${self}: ${signal}, finishing what is under way`);
  server.close(() => redis.close());
  server.closeIdleConnections();
}

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, stop);
server.listen(Number(PORT), () => console.log(`${self}: listening on port ${PORT}`));

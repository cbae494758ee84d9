// The shop's worker: increments a heartbeat counter in Redis every second. Keeps retrying while Redis is unreachable.
import { identity } from "./identity.mjs";
import { RedisClient } from "./redis-client.mjs";

const { REDIS_HOST = "redis", REDIS_PORT = "6379" } = process.env;
const BEAT_MS = 1_000;
/** Number of heartbeats for each log line. */
const BEATS_PER_LINE = 10;

const self = identity("worker");
const redis = new RedisClient({ host: REDIS_HOST, port: Number(REDIS_PORT) });
let isDisconnected = false;

const timer = setInterval(async () => {
  try {
    const beats = await redis.command("INCR", "worker:beats");
    if (isDisconnected) console.log(`${self}: reconnected to redis`);
    if (beats % BEATS_PER_LINE === 0) console.log(`${self}: beat ${beats}`);
    isDisconnected = false;
  } catch (error) {
    if (!isDisconnected) console.log(`${self}: ${error.message}; retrying`);
    isDisconnected = true;
  }
}, BEAT_MS);

function stop() {
  clearInterval(timer);
  redis.close();
}

console.log(`${self}: started`);
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, stop);

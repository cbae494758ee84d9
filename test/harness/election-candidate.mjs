// Runs an election candidate in a separate process, for tests that kill or pause it. As leader, it writes continuously.
// Arguments: endpoint, name, lease in seconds. Prints one JSON object per line.
import { systemClock } from "../../packages/control-plane/dist/runtime/clock.js";
import { campaign, fence } from "../../packages/control-plane/dist/store/election.js";
import { EtcdStore } from "../../packages/control-plane/dist/store/etcd/etcd-store.js";

const LEADER_KEY = "/berth/v1/leader";
const WRITE_KEY = "/berth/v1/written";
const STEP_MS = 20;

const [endpoint, name, ttlSeconds] = process.argv.slice(2);
const store = new EtcdStore({ endpoints: [endpoint], callTimeoutMs: 1_000 });
const leaving = new AbortController();
process.once("SIGTERM", () => leaving.abort());

const options = { store, clock: systemClock, key: LEADER_KEY, value: name, ttlSeconds: Number(ttlSeconds) };
for await (const term of campaign(options, leaving.signal)) await lead(term);
store.close();

/** Reports while the term is held. Keeps writing afterwards, because only the fence must reject the writes. */
async function lead(term) {
  const epoch = String(term.epoch);
  const sampling = setInterval(() => {
    // Take the time first: a process that was paused between the two steps must not report that it led after it
    // resumed.
    const atMs = Number(process.hrtime.bigint() / 1_000_000n);
    if (term.isHeld()) console.log(JSON.stringify({ kind: "held", name, epoch, atMs }));
  }, STEP_MS);
  for (let refused = false; !refused; ) {
    const ops = [{ kind: "put", key: WRITE_KEY, value: epoch }];
    const outcome = await store.txn({ compare: [fence(term)], ops }, AbortSignal.timeout(5_000));
    refused =
      outcome.kind === "refused" ||
      (outcome.kind === "unknown" && term.lost.aborted) ||
      leaving.signal.aborted;
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
  clearInterval(sampling);
}

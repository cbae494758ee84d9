// Hosts that join, or try to, without end: with a valid token, with one that requires approval, and with unknown tokens.
import { ControlServiceService, isBerthError, JoinKind, type JoinRequest } from "@berth/proto";
import {
  createKey,
  createRequest,
  formatJoinToken as createTokenText,
  fetchAuthority,
  parseJoinToken,
} from "@berth/proto/identity";
import { createRpcClient, RotatingIdentity, type RpcConnection } from "@berth/proto/rpc";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../harness/eventually.js";
import { deployment, service } from "../harness/test-cluster.js";
import { ACKS, LeaderRig } from "./leader-rig.js";

/** Nodes that wait for approval before the test, and the limit. */
const STORED_NODES = 900;
const MAX_WAITING_NODES = 1_000;
const JOINING = 200;
/** Below the limit of open calls of a source. */
const CONCURRENT = 32;
const UNKNOWN_TOKENS = 4_000;
/** Refused calls get at most 31 records a minute. */
const MAX_AUDIT_RECORDS = 62;
/** The nodes have 1 MB of records. etcd keeps each version of the token until it compacts. */
const MAX_ETCD_GROWTH_BYTES = 16 * 1024 * 1024;

let rig: LeaderRig;
let stranger: RpcConnection<typeof ControlServiceService>;
let token: string;

beforeAll(async () => {
  rig = await LeaderRig.start();
  await rig.control.calls.deployStack(deployment([service("web", { global: true })]));
  await eventually("the node has a task", () => rig.honest.taskIds.size > 0);
  const request = { kind: JoinKind.NODE, ttlMs: 3_600_000, uses: 10_000, hostname: "", replaceOthers: false };
  await rig.storeWaitingNodes(STORED_NODES);
  ({ token } = await rig.control.calls.createJoinToken({ ...request, requiresApproval: true, labels: {} }));
  const { caFingerprint: fingerprint } = parseJoinToken(token);
  const { x509 } = await fetchAuthority(
    { address: rig.server.address, fingerprint },
    AbortSignal.timeout(30_000),
  );
  const identity = new RotatingIdentity({ authorities: x509.toString(), leaf: undefined });
  stranger = createRpcClient(ControlServiceService, { address: rig.server.address, identity });
});

afterAll(async () => {
  stranger?.close();
  await rig?.close();
});

/** Sends requests with tokens, some at a time. Counts the outcomes by error code. */
async function join(
  count: number,
  nextToken: () => string,
  certificateRequest: () => Promise<string>,
): Promise<Readonly<Record<string, number>>> {
  const outcomes: Record<string, number> = {};
  let left = count;
  const work = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const request = {
        token: nextToken(),
        certificateRequest: await certificateRequest(),
        hostname: "host",
      };
      const outcome = await joinOnce(request);
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT }, work));
  return outcomes;
}

/** Returns the error code of a request, or "joined". Repeats it when the server closes the connection, after a minute. */
async function joinOnce(request: JoinRequest): Promise<string> {
  for (;;) {
    const outcome = await stranger.calls.join(request).then(
      () => "joined",
      (error: unknown) => (isBerthError(error) ? error.code : String(error)),
    );
    if (outcome !== "BERTH_SERVER_UNREACHABLE") return outcome;
  }
}

test("registrations: hosts that join with a token that requires approval take a bounded amount of memory and of etcd", async () => {
  const before = rig.etcdBytes();
  const outcomes: Record<string, number> = {};
  await rig.compare(`${JOINING} hosts that join ${STORED_NODES} others`, async () => {
    const added = await join(
      JOINING / ACKS,
      () => token,
      async () => createRequest(createKey()),
    );
    for (const [code, count] of Object.entries(added)) outcomes[code] = (outcomes[code] ?? 0) + count;
  });
  const joined = MAX_WAITING_NODES - STORED_NODES;
  expect(outcomes).toEqual({ joined, BERTH_LIMIT_EXCEEDED: JOINING - joined });
  const { nodes } = await rig.control.calls.listNodes({});
  expect(nodes.filter(({ node }) => node?.awaitsApproval)).toHaveLength(MAX_WAITING_NODES);
  rig.print(`etcd grew by ${((rig.etcdBytes() - before) / 2 ** 20).toFixed(1)} MiB`);
  expect(rig.etcdBytes() - before).toBeLessThan(MAX_ETCD_GROWTH_BYTES);
});

test("registrations: unknown tokens change no record, and are soon refused without a look at them", async () => {
  const { caFingerprint } = parseJoinToken(token);
  const certificateRequest = await createRequest(createKey());
  const before = await rig.keys();
  let made = 0;
  const unknown = (): string => {
    made += 1;
    const secret = Buffer.alloc(16);
    secret.writeUInt32BE(made);
    return createTokenText(JoinKind.NODE, caFingerprint, secret);
  };
  const outcomes: Record<string, number> = {};
  await rig.compare(`${UNKNOWN_TOKENS} unknown tokens`, async () => {
    const added = await join(UNKNOWN_TOKENS / ACKS, unknown, async () => certificateRequest);
    for (const [code, count] of Object.entries(added)) outcomes[code] = (outcomes[code] ?? 0) + count;
  });
  expect(Object.keys(outcomes).sort()).toEqual(["BERTH_LIMIT_EXCEEDED", "BERTH_TOKEN_INVALID"]);
  // 30 of them in a minute, and those that arrived at the same time.
  expect(outcomes.BERTH_TOKEN_INVALID).toBeLessThan(200);
  // The audit log groups refused calls.
  const added = (await rig.keys()).filter((key) => !before.includes(key));
  expect(added.filter((key) => !key.includes("/audit/"))).toEqual([]);
  expect(added.length).toBeLessThan(MAX_AUDIT_RECORDS);
});

import { readFileSync } from "node:fs";
import {
  type Authority,
  FileContent,
  FileKind,
  ClusterKeyState_Phase as Phase,
  RegistryLogin,
} from "@berth/proto";
import { pino } from "pino";
import { beforeEach, expect, it } from "vitest";
import { type ServerKeys, startedRotation } from "../core/cluster-key/rotation.js";
import { applyFile } from "../core/files/apply-file.js";
import type { LoginSealer } from "../core/registries/registry-logins.js";
import type { Writer } from "../reconciler/writer.js";
import { systemRuntime } from "../runtime/runtime.js";
import type { Change } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import { CLUSTER_KEY_NAME } from "../state/record-kinds.js";
import { ManualClock } from "../testing/manual-clock.js";
import { ClusterKey, createKeyVersion, type KeyVersion } from "./cluster-key.js";
import { ClusterKeyRotation } from "./cluster-key-rotation.js";
import { createFileSealer } from "./file-sealer.js";
import { createLoginSealer } from "./login-sealer.js";
import { createSealedAuthority, openAuthority } from "./sealed-authority.js";
import { sealedRecords } from "./sealed-records.js";

const SECRETS = 5;
const LOGGER = pino({ level: "silent" });
/** Two records in each pass. */
const LIMITS = { records: 2, bytes: 1_000_000 };

let first: KeyVersion;
let second: KeyVersion;
let authority: Authority;
/** The records, which survive leaders. */
let state: ClusterState;
let revision: bigint;
let clock: ManualClock;
let servers: readonly ServerKeys[];

beforeEach(async () => {
  [first, second] = [createKeyVersion(), createKeyVersion()];
  state = new ClusterState();
  revision = 1n;
  clock = new ManualClock();
  servers = [{ address: "a:1", keys: [first.id, second.id] }];
  authority = await createSealedAuthority(new ClusterKey(first), "berth-test", 0);
  apply([{ kind: "put-authority", authority }]);
  apply([{ kind: "put-login", login: loginWith(createLoginSealer(new ClusterKey(first))) }]);
  for (let index = 1; index <= SECRETS; index += 1) putSecret(index, new ClusterKey(first));
});

function apply(changes: readonly Change[]): void {
  state.apply(changes.map((change) => ({ change, revision: ++revision })));
}

const LOGIN = { id: "l1", server: "docker.io", username: "ci" };

function loginWith(sealer: LoginSealer): RegistryLogin {
  const login = RegistryLogin.fromPartial(LOGIN);
  return { ...login, sealedSecret: sealer.seal(login, "hunter2") };
}

const contentOf = (index: number): Buffer => Buffer.from(`password ${index}`);

function putSecret(index: number, clusterKey: ClusterKey): void {
  const content = FileContent.fromPartial({
    ...{ kind: FileKind.SECRET, name: `secret${index}`, content: contentOf(index) },
  });
  const context = { id: `f${index}`, stack: "", nowMs: 0, sealer: createFileSealer(clusterKey) };
  const { file } = applyFile(undefined, content, context);
  apply([{ kind: "put-file", file }]);
}

/** Every server has both keys in memory, since a leader can be any of them. */
const bothKeys = (): ClusterKey => new ClusterKey(first, second);

/** Checks that all secrets can be read, and that storing the same contents again would change nothing. */
function expectReadable(clusterKey: ClusterKey): void {
  const sealer = createFileSealer(clusterKey);
  for (const file of state.files.all()) {
    const content = contentOf(Number(file.name.slice("secret".length)));
    expect(sealer.open(file)).toEqual(content);
    expect(sealer.hasContent(file, content)).toBe(true);
  }
  const login = state.logins.get(LOGIN.id);
  expect(login && createLoginSealer(clusterKey).open(login)).toBe("hunter2");
  const [stored] = state.authorities.values();
  expect(stored && openAuthority(clusterKey, stored).key).toBe(
    openAuthority(new ClusterKey(first), authority).key,
  );
}

class Crash extends Error {}

/** A writer whose leader dies at its n-th transaction, before or after it is stored. */
function writerDyingAt(
  count: number,
  when: "before" | "after",
  leader: AbortController,
): Pick<Writer, "submit"> {
  let submitted = 0;
  return {
    submit: async (decide) => {
      const { changes, result } = decide(state);
      submitted += 1;
      const dies = submitted === count;
      if (!dies || when === "after") apply(changes);
      expectReadable(bothKeys());
      if (!dies) return result;
      leader.abort();
      throw new Crash("the term ended");
    },
  };
}

/** Runs one term of a leader. Resolves when it has died, or when nothing is left to do. */
async function runTerm(count: number, when: "before" | "after"): Promise<"died" | "done"> {
  const leader = new AbortController();
  const runtime = { ...systemRuntime, clock, wallClockMs: () => clock.nowMs() };
  const rotation = new ClusterKeyRotation({
    state,
    runtime,
    logger: LOGGER,
    clusterKey: bothKeys(),
    limits: LIMITS,
    writer: writerDyingAt(count, when, leader),
    serverKeys: () => servers,
  });
  const ended = rotation.run(leader.signal);
  for (let turn = 0; turn < 200 && !leader.signal.aborted; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    if (state.clusterKey?.phase === Phase.UNSPECIFIED) break;
  }
  const outcome = leader.signal.aborted ? "died" : "done";
  leader.abort();
  await ended;
  return outcome;
}

const start = (): void =>
  apply([
    {
      kind: "put-clusterKey",
      name: CLUSTER_KEY_NAME,
      clusterKey: startedRotation(first.id, second.id, clock.nowMs()),
    },
  ]);

it.each(["before", "after"] as const)(
  "continues after a crash %s any transaction, and can read every record throughout",
  async (when) => {
    start();
    // Each leader dies at its first transaction, and the last one finds nothing left.
    let terms = 0;
    while (state.clusterKey?.phase !== Phase.UNSPECIFIED && terms < 100) {
      terms += 1;
      // A leader that dies before its first transaction is stored makes no progress, so it dies at the second one.
      await runTerm(when === "before" ? 2 : 1, when);
    }
    expect(terms).toBeGreaterThan(3);
    expect(state.clusterKey).toMatchObject({ currentId: second.id, nextId: "" });
    expectReadable(new ClusterKey(second));
    expect(() => expectReadable(new ClusterKey(first))).toThrow();
  },
);

it("encrypts secrets that are stored meanwhile with the next key, and misses none that a slow call stores late", async () => {
  start();
  expect(await runTerm(1, "after")).toBe("died");
  expect(state.clusterKey?.phase).toBe(Phase.SEALING);
  // Stored by a decision that was made before.
  putSecret(SECRETS + 1, new ClusterKey(first));
  expect(await runTerm(Infinity, "after")).toBe("done");
  expectReadable(new ClusterKey(second));
});

it("does not lead without the key that encrypts records", () => {
  start();
  apply([
    {
      kind: "put-clusterKey",
      name: CLUSTER_KEY_NAME,
      clusterKey: { currentId: second.id, nextId: "", phase: Phase.UNSPECIFIED, phaseSinceMs: 0 },
    },
  ]);
  const runtime = { ...systemRuntime, clock };
  const options = { state, runtime, logger: LOGGER, clusterKey: new ClusterKey(first) };
  const create = (): unknown =>
    new ClusterKeyRotation({
      ...options,
      writer: { submit: async () => undefined as never },
      serverKeys: () => servers,
    });
  expect(create).toThrow(expect.objectContaining({ code: "BERTH_IDENTITY_INVALID" }));
});

it("knows every kind of record with an encrypted part", () => {
  const proto = readFileSync(new URL("../../../../proto/berth/v1/cluster.proto", import.meta.url), "utf8");
  const messages = [...proto.matchAll(/^message (\w+) \{(.*?)^\}/gms)];
  const sealed = messages
    .filter(([, , body = ""]) => /^ {2}bytes sealed_/m.test(body))
    .map(([, name]) => name);
  const contexts = [...sealedRecords(state, bothKeys())].map(({ context }) => context.split(" ")[0]);
  // Records of each of these messages are in the state above.
  expect(sealed).toEqual(["Authority", "FileVersion", "RegistryLogin"]);
  expect(new Set(contexts)).toEqual(new Set(["the", "password", "version"]));
});

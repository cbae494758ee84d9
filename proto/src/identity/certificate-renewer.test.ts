import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { issueCertificate } from "./authority.js";
import { keepCertificateValid } from "./certificate-renewer.js";
import { IdentityDirectory, type IdentityFiles } from "./identity-directory.js";
import { RenewalDemand } from "./renewal-demand.js";
import { HOUR_MS, TestAuthority } from "./testing/test-authority.js";

const NODE = { kind: "node", id: "n1" } as const;

let path: string;
let ca: TestAuthority;
let directory: IdentityDirectory;
let files: IdentityFiles;

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), "berth-renewer-"));
  ca = await TestAuthority.create();
  directory = await IdentityDirectory.open(path);
  const certificate = await ca.certify(await directory.prepareKey(), NODE);
  files = await directory.store({ certificate, authorities: ca.certificate });
});

afterEach(() => rm(path, { recursive: true, force: true }));

/** Long enough for a renewal that should not happen. */
const QUIET_MS = 100;

/**
 * Runs the renewer at a time until it has renewed the certificate, or has failed to, or `maxMs` are over. Returns what
 * it did.
 */
async function runAt(
  nowMs: number,
  issue: (request: string) => Promise<string>,
  { demand = new RenewalDemand(), maxMs = 30_000 } = {},
) {
  const stopping = new AbortController();
  const renewed: IdentityFiles[] = [];
  const failures: unknown[] = [];
  const stop = (): void => stopping.abort();
  const running = keepCertificateValid(
    {
      directory,
      files,
      jitter: 0.5,
      graceMs: HOUR_MS,
      nowMs: () => nowMs,
      demand,
      requestCertificate: async (request) => {
        return { certificate: await issue(request), authorities: ca.certificate };
      },
      onRenewed: (next) => {
        renewed.push(next);
        stop();
      },
      onFailure: (error) => {
        failures.push(error);
        stop();
      },
    },
    stopping.signal,
  );
  const timer = setTimeout(stop, maxMs);
  await running;
  clearTimeout(timer);
  return { renewed, failures };
}

const issue = (request: string): Promise<string> =>
  issueCertificate(ca.authority, {
    request,
    identity: NODE,
    validity: { nowMs: Date.now(), backdateMs: 0, durationMs: 10 * HOUR_MS },
  });

test("keepCertificateValid renews a certificate with a new key after half of its validity", async () => {
  const { renewed } = await runAt(Date.now() + HOUR_MS / 2, issue);
  expect(renewed).toHaveLength(1);
  expect(renewed[0]?.key).not.toBe(files.key);
  expect(await directory.load()).toEqual(renewed[0]);
});

test("keepCertificateValid leaves a young certificate alone", async () => {
  const { renewed } = await runAt(Date.now() - HOUR_MS / 2, issue, { maxMs: QUIET_MS });
  expect([renewed, await directory.load()]).toEqual([[], files]);
});

test("keepCertificateValid replaces a certificate that was issued by a clock that was ahead", async () => {
  const before = Date.now() - 20 * HOUR_MS;
  const issueBefore = (request: string): Promise<string> =>
    issueCertificate(ca.authority, {
      request,
      identity: NODE,
      validity: { nowMs: before, backdateMs: 0, durationMs: 10 * HOUR_MS },
    });
  const { renewed } = await runAt(before, issueBefore);
  expect(renewed).toHaveLength(1);
});

test.each([
  ["is not valid yet either", -20],
  ["has to be renewed at once", 8],
])("keepCertificateValid pauses after a renewal whose certificate %s", async (_, clockAheadHours) => {
  let requests = 0;
  const stopping = new AbortController();
  const running = keepCertificateValid(
    {
      directory,
      files,
      jitter: 0.5,
      graceMs: HOUR_MS,
      nowMs: () => Date.now() + clockAheadHours * HOUR_MS,
      requestCertificate: async (request) => {
        requests += 1;
        return { certificate: await issue(request), authorities: ca.certificate };
      },
      onRenewed: () => setTimeout(() => stopping.abort(), 50),
      onFailure: (error) => expect.fail(String(error)),
    },
    stopping.signal,
  );
  await running;
  expect(requests).toBe(1);
});

test("keepCertificateValid renews a young certificate on demand, once and at the demanded time", async () => {
  const nowMs = Date.now() - HOUR_MS / 2;
  const later = new RenewalDemand();
  later.request(nowMs + HOUR_MS / 4);
  expect((await runAt(nowMs, issue, { demand: later, maxMs: QUIET_MS })).renewed).toEqual([]);
  const demand = new RenewalDemand();
  // The renewer waits already.
  setTimeout(() => demand.request(nowMs), 20);
  expect((await runAt(nowMs, issue, { demand })).renewed).toHaveLength(1);
  expect(demand.dueMs).toBeUndefined();
});

test("keepCertificateValid renews again when the demand came during a renewal", async () => {
  const nowMs = Date.now() - HOUR_MS / 2;
  const demand = new RenewalDemand();
  demand.request(nowMs);
  const issueLate = (request: string): Promise<string> => {
    demand.request(nowMs);
    return issue(request);
  };
  expect((await runAt(nowMs, issueLate, { demand })).renewed).toHaveLength(1);
  expect(demand.dueMs).toBe(nowMs);
});

test("keepCertificateValid keeps the certificate when the renewal fails", async () => {
  const { failures } = await runAt(Date.now() + HOUR_MS / 2, () => Promise.reject(new Error("no leader")));
  expect(failures).toEqual([new Error("no leader")]);
  expect(await directory.load()).toEqual(files);
});

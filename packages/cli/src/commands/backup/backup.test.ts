import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BackupSummary,
  BerthError,
  type CreateBackupRequest,
  type CreateBackupResponse,
  GetRestoreResponse,
  Restore_State,
} from "@berth/proto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const PASSPHRASE = "correct horse battery";
const SUMMARY = BackupSummary.fromPartial({
  cluster: "berth-2k8q",
  createdAtMs: Date.UTC(2026, 10, 30),
  revision: 48_211,
  berthVersion: "0.1.0",
  records: { services: 2, tasks: 60, nodes: 2 },
  servers: ["10.0.0.1:7400"],
  authority: "7c41d09be2f5",
});

let cwd: string;

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "berth-backup-"));
});
afterEach(() => rm(cwd, { recursive: true }));

function serverWith(last: CreateBackupResponse["part"] | Error = { $case: "summary", value: SUMMARY }): {
  readonly handlers: FakeControlHandlers;
  readonly requests: CreateBackupRequest[];
} {
  const requests: CreateBackupRequest[] = [];
  async function* createBackup(request: CreateBackupRequest): AsyncGenerator<CreateBackupResponse> {
    requests.push(request);
    yield { part: { $case: "data", value: Buffer.from("age-") } };
    yield { part: { $case: "data", value: Buffer.from("file") } };
    if (last instanceof Error) throw last;
    yield { part: last };
  }
  return { handlers: { createBackup }, requests };
}

describe("backup create", () => {
  test("writes the file for its owner only, and prints what it contains", async () => {
    const { handlers, requests } = serverWith();
    const { code, out } = await berth("backup create b.age", handlers, { cwd, stdin: `${PASSPHRASE}\n` });
    expect(code).toBe(0);
    expect(out).toMatchInlineSnapshot(`
      "Wrote the backup b.age
      Cluster:   berth-2k8q
      Created:   2026-11-30T00:00:00.000Z by berth 0.1.0
      Revision:  48211
      CA:        7c41d09be2f5
      Servers:   10.0.0.1:7400
      Contents:  2 services, 0 versions, 60 tasks, 2 nodes, 0 networks, 0 versions of secrets and configs, 0 users, 0 join tokens, 0 CAs
      "
    `);
    expect(requests).toEqual([{ protection: { $case: "passphrase", value: PASSPHRASE } }]);
    expect(await readFile(join(cwd, "b.age"), "utf8")).toBe("age-file");
    expect((await stat(join(cwd, "b.age"))).mode & 0o777).toBe(0o600);
    expect(await readdir(cwd)).toEqual(["b.age"]);
  });

  test("keeps an existing file unless --force is given", async () => {
    await writeFile(join(cwd, "b.age"), "old");
    const { handlers, requests } = serverWith();
    const options = { cwd, stdin: PASSPHRASE };
    const refused = await berth("backup create b.age", handlers, options);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain("already exists; use another name, or --force to replace it");
    expect(requests).toEqual([]);
    expect((await berth("backup create --force b.age", handlers, options)).code).toBe(0);
    expect(await readFile(join(cwd, "b.age"), "utf8")).toBe("age-file");
  });

  test("leaves no file when the server fails, or ends the stream early", async () => {
    const failure = new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message: "etcd does not answer" });
    for (const [last, message] of [
      [failure, "etcd does not answer"],
      [{ $case: "data", value: Buffer.from("") }, "ended the backup before it was complete"],
    ] as const) {
      const options = { cwd, stdin: PASSPHRASE };
      const { code, err } = await berth("backup create b.age", serverWith(last).handlers, options);
      expect(code).toBe(3);
      expect(err).toContain(message);
      expect(await readdir(cwd)).toEqual([]);
    }
  });

  test("encrypts for the public keys of options and of a file, whose comments it skips", async () => {
    await writeFile(join(cwd, "keys"), "# alice\nage1two\n\n age1three \n");
    const { handlers, requests } = serverWith();
    const line = "backup create -r age1one --recipients-file keys -o json b.age";
    expect((await berth(line, handlers, { cwd })).code).toBe(0);
    const keys = ["age1one", "age1two", "age1three"];
    expect(requests).toEqual([{ protection: { $case: "recipients", value: { keys } } }]);
    const both = await berth(`${line} --passphrase-file keys`, handlers, { cwd });
    expect(both).toMatchObject({ code: 2, err: expect.stringContaining("are mutually exclusive") });
    const fileLine = "backup create --recipients-file keys --passphrase-file keys b.age";
    const bothFiles = await berth(fileLine, handlers, { cwd });
    expect(bothFiles.err).toContain("--passphrase-file and --recipients-file are mutually exclusive");
    await writeFile(join(cwd, "keys"), "# none\n");
    const none = await berth("backup create --recipients-file keys c.age", handlers, { cwd });
    expect(none).toMatchObject({ code: 2, err: expect.stringContaining("keys contains no key") });
  });

  test("writes to standard output for -, but not to a terminal", async () => {
    const { handlers } = serverWith();
    const options = { cwd, stdin: PASSPHRASE };
    const { out, err } = await berth("backup create -", handlers, options);
    expect(out).toBe("age-file");
    expect(err).toContain("Revision:  48211");
    const terminal = await berth("backup create -", handlers, { ...options, isTty: true });
    expect(terminal).toMatchObject({
      code: 2,
      err: expect.stringContaining("standard output is a terminal"),
    });
  });
});

describe("backup status and backup complete", () => {
  const respond = (response: Parameters<typeof GetRestoreResponse.fromPartial>[0]): FakeControlHandlers => ({
    getRestore: async () => GetRestoreResponse.fromPartial(response),
  });
  const restore = {
    generation: 1,
    restoredAtMs: Date.UTC(2026, 11, 1),
    backupCreatedAtMs: Date.UTC(2026, 10, 30),
    state: Restore_State.PENDING,
  };

  test("backup status shows missing nodes and unknown containers while a restore is pending", async () => {
    const task = { taskId: "t", containerId: "0123456789abcdef", containerName: "late_worker.1.t" };
    const handlers = respond({
      restore,
      missingNodes: ["host1"],
      missingNodeCount: 3,
      unknownTaskCount: 1,
      unknownTasks: [{ node: "host2", task }],
    });
    expect((await berth("backup status", handlers)).out).toMatchInlineSnapshot(`
      "Restored:  2026-12-01T00:00:00.000Z
      Backup:    2026-11-30T00:00:00.000Z
      State:     pending
      Missing:   host1, and 2 more

      NODE    CONTAINER         CONTAINER ID
      host2   late_worker.1.t   0123456789ab

      1 container started after the backup. They run, but get no new connections.
      Deploy their stacks again with --detach, and then run "berth backup complete" to remove them.
      "
    `);
    const json = JSON.parse((await berth("backup status -o json", handlers)).out);
    expect(json).toMatchObject({
      restore: { state: "pending" },
      unknownTasks: [{ node: "host2", taskId: "t" }],
    });
  });

  test("backup status shows a complete restore, and a cluster without one", async () => {
    const complete = { ...restore, state: Restore_State.COMPLETE };
    expect((await berth("backup status", respond({ restore: complete }))).out).toContain(
      "State:     complete",
    );
    expect((await berth("backup status", respond({}))).out).toBe(
      "The cluster has never been restored from a backup\n",
    );
  });

  test("backup complete completes a restore, by force with --force", async () => {
    const forced: boolean[] = [];
    const handlers: FakeControlHandlers = {
      completeRestore: async ({ force }) => {
        forced.push(force);
        return { removedTasks: 1 };
      },
    };
    expect((await berth("backup complete", handlers)).out).toBe(
      "Completed the restore; 1 unknown container will be removed\n",
    );
    await berth("backup complete --force", handlers);
    expect(forced).toEqual([false, true]);
  });
});

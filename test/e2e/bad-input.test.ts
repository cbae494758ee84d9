import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import { BAD_FILES } from "./support/bad-files.js";
import { createCluster, deploy } from "./support/cluster.js";
import { listContainers, readStartedAt } from "./support/containers.js";

const GOOD = `
services:
  web:
    image: hello:1
    ports: ["8080:80"]
    stop_grace_period: 1s
    deploy: { replicas: 2 }
`;

describe("stack deploy of an invalid file over a running stack", () => {
  let lab: Lab;
  let directory: string;
  let before: unknown;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "berth-bad-"));
    lab = await createCluster(1);
    expect((await deploy(lab, "shop", GOOD)).code).toBe(0);
    before = await clusterNow();
  });
  afterAll(async () => {
    await lab?.down();
    await rm(directory, { recursive: true, force: true });
  });

  /** Returns the control plane's view of the stack, and Docker's. */
  async function clusterNow(): Promise<unknown> {
    const [services, tasks] = await Promise.all(
      [
        ["service", "ls"],
        ["stack", "ps", "shop"],
      ].map(async (args) => (await lab.berth([...args, "-o", "json"])).stdout),
    );
    const containers = await listContainers(lab);
    const starts = await Promise.all(containers.map((container) => readStartedAt(lab, container)));
    return { services, tasks, containers, starts };
  }

  test.each(BAD_FILES)("rejects $what with its position", async ({ content, message }) => {
    const file = join(directory, "compose.yml");
    await writeFile(file, content);
    const { code, stdout, stderr } = await lab.berth(["stack", "deploy", "-c", file, "shop"]);
    expect(stderr).toContain(`${file}:`);
    expect(stderr).toMatch(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  test("rejects an invalid stack name and a missing file", async () => {
    const bad = [
      ["-c", join(directory, "compose.yml"), "größe"],
      ["-c", join(directory, "compose.yml"), "s".repeat(70)],
      ["-c", join(directory, "nope.yml"), "shop"],
      ["-c", directory, "shop"],
    ];
    for (const args of bad) {
      const { code, stdout, stderr } = await lab.berth(["stack", "deploy", ...args]);
      expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: "" });
    }
  });

  test("changes nothing in the cluster", async () => {
    expect(await clusterNow()).toEqual(before);
  });
});

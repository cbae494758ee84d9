import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { lockDataDir } from "../runtime/process-lock.js";
import type { ProgramCall, ProgramResult } from "../runtime/run-program.js";
import { type ResetOptions, resetHost } from "./reset-host.js";

const { signal } = new AbortController();
const LINKS = JSON.stringify(["lo", "bth7", "btv7", "berthwg", "btvx", "eth0"].map((ifname) => ({ ifname })));
let dataDir: string;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "berth-reset-"));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

/** A host on which all programs succeed. */
function host(options: Partial<ResetOptions> = {}) {
  const lines: string[] = [];
  const commands: string[] = [];
  const run = async (program: string, { args }: ProgramCall): Promise<ProgramResult> => {
    commands.push([program, ...args].join(" "));
    return { kind: "done", stdout: program === "ip" && args.includes("show") ? LINKS : "" };
  };
  const network = { config: "", mtu: 0 };
  const engine = {
    connect: vi.fn(),
    list: vi.fn().mockResolvedValue([{ id: "c1" }, { id: "c2" }]),
    remove: vi.fn(),
    networks: vi.fn().mockResolvedValue([
      { ...network, id: "n1", name: "shop_default", networkId: "net1" },
      { ...network, id: "n2", name: "bridge", networkId: "" },
    ]),
    removeNetwork: vi.fn(),
  } satisfies ResetOptions["engine"];
  const reset = (): Promise<boolean> =>
    resetHost(
      {
        dataDir,
        engine,
        run,
        keepContainers: false,
        report: (line) => lines.push(line),
        removeRules: async () => void commands.push("remove rules"),
        secretsDirectory: join(dataDir, "secrets"),
        ...options,
      },
      signal,
    );
  return { reset, engine, lines, commands };
}

it("resetHost() removes containers, networks and devices of berth, and no others", async () => {
  const { reset, engine, lines, commands } = host();
  expect(await reset()).toBe(true);
  expect(engine.remove.mock.calls.map(([id]) => id)).toEqual(["c1", "c2"]);
  expect(engine.removeNetwork.mock.calls.map(([id]) => id)).toEqual(["n1"]);
  expect(commands).toEqual([
    "remove rules",
    "ip -json link show",
    "ip link delete btv7",
    "ip link delete berthwg",
    "nft --file -",
  ]);
  expect(lines).toEqual(["removed 2 containers", "removed 1 network", "removed 2 network devices"]);
});

it("resetHost() removes only rules of published ports when it keeps the containers", async () => {
  const { reset, engine, commands } = host({ keepContainers: true });
  expect(await reset()).toBe(true);
  expect(engine.connect).not.toHaveBeenCalled();
  expect(commands).toEqual(["remove rules"]);
});

it("resetHost() continues after a failure, and reports it", async () => {
  const { reset, engine, lines } = host();
  engine.connect.mockRejectedValue(new Error("cannot connect to Docker"));
  expect(await reset()).toBe(false);
  expect(lines).toEqual([
    "removed 1 network",
    "removed 2 network devices",
    "cannot remove the containers: cannot connect to Docker",
  ]);
});

it("resetHost() refuses while an agent runs", async () => {
  const lock = await lockDataDir(dataDir, "agent");
  const { reset, engine } = host();
  await expect(reset()).rejects.toMatchObject({
    code: "BERTH_CONFLICT",
    message: `an agent uses ${dataDir}; stop it first, for example with systemctl stop berth-agent`,
  });
  expect(engine.connect).not.toHaveBeenCalled();
  lock?.release();
});

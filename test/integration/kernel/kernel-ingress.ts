import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { INGRESS_PATH } from "../../../deploy/lab/berth-commands.js";
import { SOCKET_NAME } from "../../../packages/agent/src/dataplane/control/protocol.js";
import type {
  IngressEndpoint,
  IngressListener,
} from "../../../packages/agent/src/dataplane/table/ingress-table.js";
import {
  type Cleanup,
  deadline,
  directoryFor,
  openTestIngress,
  type TestIngress,
} from "../ingress-harness.js";
import { ADDRESS, SUBNET, type TestNetwork } from "./test-network.js";

export interface KernelIngress extends TestIngress {
  readonly process: ChildProcess;
  readonly dataDir: string;
}

/** Starts a real ingress process on host "a", and connects the agent's client to it. */
export async function startKernelIngress(
  network: TestNetwork,
  cleanup: Cleanup,
  { mode = "kernel", dataDir = directoryFor(cleanup) }: { mode?: string; dataDir?: string } = {},
): Promise<KernelIngress> {
  const args = ["netns", "exec", network.namespace("a"), process.execPath, INGRESS_PATH];
  const child = spawn("ip", [...args, "--data-dir", dataDir, "--mode", mode], {
    stdio: ["ignore", process.env.BERTH_TEST_LOG ? "inherit" : "ignore", "inherit"],
  });
  cleanup.add(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  });
  while (!existsSync(join(dataDir, SOCKET_NAME))) await sleep(10);
  const ingress = await openTestIngress({ dataDir, launch: false });
  cleanup.add(() => ingress.close());
  return { ...ingress, process: child, dataDir };
}

/** An endpoint on another host, reached through a port of that host. */
export function remoteEndpoint(host: "b" | "c", port: number, id: string = host): IngressEndpoint {
  return { id, node: host, address: ADDRESS[host], port, route: { kind: "forward" } };
}

/** An endpoint on host "a". No server listens on its host port, so the kernel must use the container's address. */
export function localEndpoint(container: "c1" | "c2", port: number): IngressEndpoint {
  const route = { kind: "direct", address: ADDRESS[container], port, subnet: SUBNET } as const;
  return { id: container, node: "a", address: ADDRESS.a, port: 32_000, route };
}

export function publishedListener(
  port: number,
  endpoints: readonly IngressEndpoint[],
  more: Partial<IngressListener> = {},
): IngressListener {
  return { protocol: "tcp", address: "", port, service: "web", endpoints, draining: [], ...more };
}

let lastVersion = 0;

export async function apply(ingress: TestIngress, ...listeners: readonly IngressListener[]): Promise<void> {
  lastVersion += 1;
  const { errors } = await ingress.apply({ version: lastVersion, listeners }, deadline());
  if (errors[0] !== undefined) throw new Error(errors[0].message);
}

/** Returns the number of answers by text. */
export function countAnswers(
  answers: readonly { readonly text: string }[],
): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { text } of answers) counts[text] = (counts[text] ?? 0) + 1;
  return counts;
}

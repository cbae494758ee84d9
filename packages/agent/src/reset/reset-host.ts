import { join } from "node:path";
import { BerthError } from "@berth/proto";
import { vniOfTunnel } from "../core/networks/devices.js";
import { VXLAN_TABLE } from "../core/networks/vxlan-filter.js";
import { WIREGUARD_DEVICE } from "../core/networks/wireguard.js";
import { SOCKET_NAME } from "../dataplane/control/protocol.js";
import { removeKernelPath } from "../dataplane/kernel/kernel-path.js";
import { removeVips } from "../dataplane/vips/vip-balancer.js";
import { isNotRunning } from "../dataplane-client/ingress-connector.js";
import { IngressSession } from "../dataplane-client/ingress-session.js";
import type { Engine } from "../engine/engine.js";
import { isTmpfsMounted } from "../files/secret-mount.js";
import { lockDataDir } from "../runtime/process-lock.js";
import { failureOf, type RunProgram, runProgram } from "../runtime/run-program.js";

export interface ResetOptions {
  readonly dataDir: string;
  /** Knows which containers this host's agent created. */
  readonly engine: Pick<Engine, "connect" | "list" | "remove" | "networks" | "removeNetwork">;
  /** Where the agent mounts the secrets of its containers. */
  readonly secretsDirectory: string;
  /** Whether to keep the containers, and everything that they need to reach each other. */
  readonly keepContainers: boolean;
  /** Called with a line for each kind of resource that was removed or could not be removed. */
  readonly report: (line: string) => void;
  readonly run?: RunProgram;
  /** Removes the rules that an ingress process leaves behind when it is killed. */
  readonly removeRules?: (signal: AbortSignal) => Promise<void>;
}

/**
 * Removes everything that the agent added to this host: the ingress process, rules of nftables and iptables,
 * containers, networks and mounts. Never touches a container that this agent did not create, a volume, or the agent's
 * identity.
 *
 * Continues after a failure, and can be run again.
 *
 * @returns whether everything was removed
 * @throws BerthError BERTH_CONFLICT while an agent is running
 */
export async function resetHost(options: ResetOptions, signal: AbortSignal): Promise<boolean> {
  const { dataDir, keepContainers, report } = options;
  const lock = await lockDataDir(dataDir, "agent");
  if (lock === undefined) {
    throw new BerthError({
      code: "BERTH_CONFLICT",
      message: `an agent uses ${dataDir}; stop it first, for example with systemctl stop berth-agent`,
    });
  }
  try {
    const failures: string[] = [];
    const steps: readonly Step[] = [
      { resource: "ingress process", run: stopIngress },
      ...(keepContainers ? [] : CONTAINER_STEPS),
    ];
    for (const { resource, run } of steps) {
      try {
        await run(options, signal);
      } catch (error) {
        signal.throwIfAborted();
        failures.push(`cannot remove the ${resource}: ${error instanceof Error ? error.message : error}`);
      }
    }
    for (const failure of failures) report(failure);
    return failures.length === 0;
  } finally {
    lock.release();
  }
}

interface Step {
  /** Name of what the step removes, for error messages. */
  readonly resource: string;
  run(options: ResetOptions, signal: AbortSignal): Promise<void>;
}

/** Steps in dependency order: a network cannot be removed while it has containers. */
const CONTAINER_STEPS: readonly Step[] = [
  { resource: "containers", run: removeContainers },
  { resource: "networks", run: removeNetworks },
  { resource: "network devices", run: removeDevices },
  { resource: "secrets", run: unmountSecrets },
];

/** Stops the ingress process, which removes its rules, and removes the rules that a killed process has left behind. */
async function stopIngress(
  { dataDir, report, removeRules = removeIngressRules }: ResetOptions,
  signal: AbortSignal,
): Promise<void> {
  try {
    const session = await IngressSession.open(join(dataDir, "ingress", SOCKET_NAME));
    await session.request({ $case: "stop", value: {} }, "done");
    await session.closed;
    report("stopped the ingress process");
  } catch (error) {
    if (!isNotRunning(error)) throw error;
  }
  await removeRules(signal);
}

async function removeIngressRules(signal: AbortSignal): Promise<void> {
  await removeVips(signal);
  await removeKernelPath(signal);
}

async function removeContainers({ engine, report }: ResetOptions, signal: AbortSignal): Promise<void> {
  await engine.connect({ signal });
  const containers = await engine.list({ signal });
  for (const { id } of containers) await engine.remove(id, { signal });
  report(`removed ${counted(containers.length, "container")}`);
}

async function removeNetworks({ engine, report }: ResetOptions, signal: AbortSignal): Promise<void> {
  const networks = (await engine.networks({ signal })).filter(({ networkId }) => networkId !== "");
  for (const { id } of networks) await engine.removeNetwork(id, { signal });
  report(`removed ${counted(networks.length, "network")}`);
}

/** Removes the tunnels between hosts and their packet filter. Docker has removed the bridges with their networks. */
async function removeDevices({ run = runProgram, report }: ResetOptions, signal: AbortSignal): Promise<void> {
  const listed = await run("ip", { args: ["-json", "link", "show"], signal });
  if (listed.kind !== "done") throw new Error(failureOf("ip", listed));
  const links: readonly { readonly ifname: string }[] = JSON.parse(listed.stdout);
  const berthDevices = links
    .map(({ ifname }) => ifname)
    .filter((name) => name === WIREGUARD_DEVICE || vniOfTunnel(name) !== undefined);
  for (const device of berthDevices) {
    const failure = failureOf("ip", await run("ip", { args: ["link", "delete", device], signal }));
    if (failure !== undefined) throw new Error(failure);
  }
  // The first line makes the deletion succeed when the table does not exist.
  const input = `table ${VXLAN_TABLE}\ndelete table ${VXLAN_TABLE}\n`;
  const failure = failureOf("nft", await run("nft", { args: ["--file", "-"], input, signal }));
  if (failure !== undefined) throw new Error(failure);
  report(`removed ${counted(berthDevices.length, "network device")}`);
}

async function unmountSecrets(
  { secretsDirectory, run = runProgram, report }: ResetOptions,
  signal: AbortSignal,
): Promise<void> {
  if (!(await isTmpfsMounted(secretsDirectory))) return;
  const failure = failureOf("umount", await run("umount", { args: [secretsDirectory], signal }));
  if (failure !== undefined) throw new Error(failure);
  report("removed the secrets of containers");
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

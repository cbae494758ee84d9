import { Availability, assertNever } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { describeRemoveStep, planRemove, type RemoveStep } from "../../core/hosts/plan-remove.js";
import { examineHost } from "../../hosts/examine-host.js";
import { PURGE_PACKAGE, STOP_AGENT } from "../../hosts/host-scripts.js";
import { runStep } from "../../hosts/run-step.js";
import { SshConnection } from "../../hosts/ssh-connection.js";
import { parseTimeoutMs } from "../../options/parse-options.js";
import { nodeHostname } from "../../output/nodes.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions, Terminal } from "../../process/cli.js";
import { waitForDrain } from "../node/drain/wait-for-drain.js";
import { setAvailability } from "../node/set-availability.js";
import { waitForRemoval } from "../server/rm.js";
import { type ClusterView, membershipsOf, readCluster } from "./cluster-view.js";
import { unsuitableHostError } from "./unsuitable-host.js";

/** Timeout for stopping the agent. */
const STOP_TIMEOUT_MS = 60_000;
/** Timeout of the removal. Containers get time to stop, and Docker removes them one by one. */
const PURGE_TIMEOUT_MS = 10 * 60_000;

export interface HostRemoveOptions extends GlobalOptions {
  readonly force?: boolean;
  readonly keepContainers?: boolean;
  readonly dryRun?: boolean;
  readonly timeout: string;
}

/** `berth host rm USER@HOST|NODE`: drains a host, removes it from the cluster, and removes berth from it. */
export async function removeHost(cli: Cli, options: HostRemoveOptions, host: string): Promise<void> {
  const timeoutMs = parseTimeoutMs(options.timeout);
  await withClient(cli, options, async (client) => {
    const cluster = await readCluster(cli, client);
    const ssh = await SshConnection.open(cli, destinationOf(host, cluster));
    try {
      await removeOverSsh({ cli, client, cluster, ssh, options, timeoutMs });
    } finally {
      await ssh.close();
    }
  });
}

/** Returns the ssh destination of a host: `root@ADDRESS` for a node, otherwise the argument as it is. */
export function destinationOf(host: string, { nodes }: Pick<ClusterView, "nodes">): string {
  if (host.includes("@")) return host;
  const node = nodes.find((each) => nodeHostname(each) === host || each.node?.id === host)?.node;
  const address = node?.description?.address ?? "";
  return address === "" ? host : `root@${address}`;
}

/** The data of one `berth host rm`. */
interface HostRemoval {
  readonly cli: Cli;
  readonly client: ControlClient;
  readonly cluster: ClusterView;
  readonly ssh: SshConnection;
  readonly options: HostRemoveOptions;
  readonly timeoutMs: number;
}

async function removeOverSsh(removal: HostRemoval): Promise<void> {
  const { cli, cluster, ssh, options } = removal;
  const isJson = options.output === "json";
  const terminal = isJson ? cli.stderr : cli.stdout;
  const { facts } = await examineHost(ssh, [], cli.now);
  const { force = false, keepContainers = false, dryRun = false } = options;
  const request = { cluster: cluster.name, force, keepContainers };
  const plan = planRemove(facts, membershipsOf(facts, cluster), request);
  if (plan.kind === "unsuitable") throw unsuitableHostError("remove", ssh.destination, plan.problems);
  const { hostname } = facts;
  for (const step of plan.steps) {
    terminal.write(`${hostname}: ${dryRun ? "would " : ""}${describeRemoveStep(step)}\n`);
    if (!dryRun) await applyRemoveStep(step, removal, terminal);
  }
  if (plan.steps.length === 0) {
    terminal.write(`${hostname} has nothing of berth; nothing to change\n`);
  } else if (!dryRun) {
    terminal.write(`${hostname} has left the cluster ${cluster.name}\n`);
  }
  if (isJson) printJson(cli, { hostname, cluster: cluster.name, steps: plan.steps.map(({ kind }) => kind) });
}

async function applyRemoveStep(
  step: RemoveStep,
  { cli, client, cluster, ssh, timeoutMs }: HostRemoval,
  terminal: Terminal,
): Promise<void> {
  const { signal } = cli;
  switch (step.kind) {
    case "drain": {
      const change = { nodes: [step.nodeId], availability: Availability.DRAIN };
      await waitForDrain(cli, client, {
        nodes: await setAvailability(cli, client, change),
        timeoutMs,
        terminal,
      });
      return;
    }
    case "stop-agent":
      await runStep(ssh, describeRemoveStep(step), { script: STOP_AGENT, timeoutMs: STOP_TIMEOUT_MS });
      return;
    case "remove-node":
      // The agent has stopped, but the cluster may not have noticed yet.
      await retryDuringElection(cli, () => client.removeNode({ node: step.nodeId, force: true }, { signal }));
      return;
    case "remove-server": {
      const request = { server: step.serverId, force: true };
      await retryDuringElection(cli, () => client.removeServer(request, { signal }));
      const server = cluster.servers.find((each) => each.server?.id === step.serverId)?.server?.hostname;
      await waitForRemoval(cli, client, { id: step.serverId, server: server ?? step.serverId, timeoutMs });
      return;
    }
    case "purge": {
      const args = [String(!step.keepContainers)];
      await runStep(ssh, describeRemoveStep(step), {
        script: PURGE_PACKAGE,
        args,
        timeoutMs: PURGE_TIMEOUT_MS,
      });
      return;
    }
    default:
      assertNever(step);
  }
}

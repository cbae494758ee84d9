import { BERTH_VERSION } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { type AddRequest, describeAddStep, type HostRole, planAdd } from "../../core/hosts/plan-add.js";
import { examineHost } from "../../hosts/examine-host.js";
import { SshConnection } from "../../hosts/ssh-connection.js";
import { invalidOptionError, parseLabels, parseTimeoutMs } from "../../options/parse-options.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { applyAddStep } from "./apply-add-step.js";
import { type ClusterView, membershipsOf, readCluster } from "./cluster-view.js";
import { unsuitableHostError } from "./unsuitable-host.js";

export interface HostAddOptions extends GlobalOptions {
  readonly role: HostRole;
  readonly label?: readonly string[];
  readonly advertise?: string;
  readonly package?: string;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly timeout: string;
}

/** `berth host add USER@HOST`: makes a host a member of the cluster, over ssh. A repetition changes nothing. */
export async function addHost(cli: Cli, options: HostAddOptions, destination: string): Promise<void> {
  const labels = parseLabels("--label", options.label ?? []);
  if (options.role === "server" && Object.keys(labels).length > 0) {
    throw invalidOptionError("--label", "servers have no labels");
  }
  const timeoutMs = parseTimeoutMs(options.timeout);
  await withClient(cli, options, async (client) => {
    const cluster = await readCluster(cli, client);
    const ssh = await SshConnection.open(cli, destination);
    try {
      await addOverSsh(cli, { client, cluster, ssh, options, labels, timeoutMs });
    } finally {
      await ssh.close();
    }
  });
}

/** The data of one `berth host add`. */
interface HostAddition {
  readonly client: ControlClient;
  readonly cluster: ClusterView;
  readonly ssh: SshConnection;
  readonly options: HostAddOptions;
  readonly labels: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

async function addOverSsh(cli: Cli, addition: HostAddition): Promise<void> {
  const { client, cluster, ssh, options, labels, timeoutMs } = addition;
  const isJson = options.output === "json";
  const terminal = isJson ? cli.stderr : cli.stdout;
  const { facts, clockAheadMs } = await examineHost(ssh, cluster.addresses, cli.now);
  const request: AddRequest = {
    role: options.role,
    servers: cluster.addresses,
    labels,
    address: options.advertise ?? facts.address,
    version: BERTH_VERSION,
    clockAheadMs: clockAheadMs - cluster.clockAheadMs,
  };
  const member = membershipsOf(facts, cluster)[options.role];
  const plan = planAdd(facts, member, request);
  if (plan.kind === "unsuitable") throw unsuitableHostError("add", ssh.destination, plan.problems);
  const { hostname } = facts;
  const { force = false, package: packageFile, dryRun = false } = options;
  const context = { cli, client, ssh, facts, request, packageFile, force, timeoutMs };
  let id = member?.id;
  for (const step of plan.steps) {
    terminal.write(`${hostname}: ${dryRun ? "would " : ""}${describeAddStep(step, request)}\n`);
    if (!dryRun) id = await applyAddStep(step, id, context);
  }
  const note = plan.steps.length === 0 ? "; nothing to change" : "";
  if (id !== undefined) {
    terminal.write(`${hostname} is ${options.role} ${id} of the cluster ${cluster.name}${note}\n`);
  }
  if (isJson) {
    const steps = plan.steps.map(({ kind }) => kind);
    printJson(cli, { hostname, role: options.role, id: id ?? "", cluster: cluster.name, steps });
  }
}

import { setTimeout as sleep } from "node:timers/promises";
import {
  Availability,
  assertNever,
  BerthError,
  JoinKind,
  NodeState,
  Server_State as ServerState,
} from "@berth/proto";
import type { ControlClient } from "../../client/client.js";
import { isLeaderChange, retryDuringElection } from "../../client/leader-change.js";
import { parseDoctorReport } from "../../core/hosts/doctor-report.js";
import type { HostFacts } from "../../core/hosts/host-facts.js";
import { type AddRequest, type AddStep, describeAddStep, type HostRole } from "../../core/hosts/plan-add.js";
import { examineHost } from "../../hosts/examine-host.js";
import {
  INSTALL_PACKAGE,
  JOIN_NODE,
  JOIN_SERVER,
  RUN_DOCTOR,
  SET_LISTEN_ADDRESS,
  START_UNIT,
} from "../../hosts/host-scripts.js";
import { openPackage } from "../../hosts/open-package.js";
import { runStep } from "../../hosts/run-step.js";
import type { SshConnection } from "../../hosts/ssh-connection.js";
import { printWarning } from "../../output/print.js";
import type { Cli } from "../../process/cli.js";
import { membershipsOf, readCluster } from "./cluster-view.js";
import { unsuitableHostError } from "./unsuitable-host.js";

/** Timeout of the installation, which includes the download of packages such as Docker. */
const INSTALL_TIMEOUT_MS = 15 * 60_000;
/** Timeout of `berth doctor`. */
const DOCTOR_TIMEOUT_MS = 120_000;
/** Timeout of `berth agent join` and `berth server join`, which connect to a server and request a certificate. */
const JOIN_TIMEOUT_MS = 60_000;
/** Timeout for the start of a unit. A server copies the data of etcd before it is ready. */
const START_TIMEOUT_MS = 120_000;
/** Validity of the join token. The host joins at once, and the token is removed if the join fails. */
const TOKEN_TTL_MS = 10 * 60_000;
/** Time for the removal of an unused join token, also after Ctrl-C. */
const TOKEN_REMOVAL_TIMEOUT_MS = 2_000;
/** Interval between queries for the state of the host. */
const POLL_INTERVAL_MS = 300;
const SERVER_PORT = 7400;

type JoinStep = Extract<AddStep, { readonly kind: "join" }>;
type StartStep = Extract<AddStep, { readonly kind: "start" }>;

export interface AddContext {
  readonly cli: Cli;
  readonly client: ControlClient;
  readonly ssh: SshConnection;
  readonly facts: HostFacts;
  readonly request: AddRequest;
  /** The package that `--package` specifies. */
  readonly packageFile: string | undefined;
  /** Whether to join even if `berth doctor` reports failures. */
  readonly force: boolean;
  /** Time limit for the host to become ready. */
  readonly timeoutMs: number;
}

/**
 * Performs a step of a plan, which can be repeated.
 *
 * @param id the ID of the node or server. Undefined before it has joined
 * @returns the ID after the step
 * @throws BerthError
 */
export async function applyAddStep(
  step: AddStep,
  id: string | undefined,
  context: AddContext,
): Promise<string | undefined> {
  switch (step.kind) {
    case "install":
      await install(step.packages, context);
      return id;
    case "start-docker":
      await startUnit("docker.service", step, context);
      return id;
    case "check":
      await check(context);
      return id;
    case "join":
      return join(step, context);
    case "label":
      await setLabels(requireId(id), step.labels, context);
      return id;
    case "start":
      await startBerth(step, context);
      return id;
    case "wait":
      await waitUntilReady(requireId(id), context);
      return id;
    default:
      return assertNever(step);
  }
}

function requireId(id: string | undefined): string {
  if (id === undefined) throw new Error("a plan sets labels or waits before the host has joined");
  return id;
}

async function install(
  packages: readonly string[],
  { cli, ssh, facts, packageFile }: AddContext,
): Promise<void> {
  const { architecture } = facts;
  const { path, name, sha256, dispose } = await openPackage(cli, { file: packageFile, architecture });
  try {
    await runStep(ssh, "install berth", {
      script: INSTALL_PACKAGE,
      args: [name, sha256, ...packages],
      inputFile: path,
      timeoutMs: INSTALL_TIMEOUT_MS,
    });
  } finally {
    await dispose();
  }
}

/**
 * Runs `berth doctor`, and prints its findings as warnings.
 *
 * @throws BerthError BERTH_HOST_UNSUITABLE for failures, unless `--force` is given
 */
async function check({ cli, ssh, facts, request, force }: AddContext): Promise<void> {
  const args = [request.address];
  const output = await runStep(ssh, "check the host", {
    script: RUN_DOCTOR,
    args,
    timeoutMs: DOCTOR_TIMEOUT_MS,
  });
  const findings = parseDoctorReport(output);
  if (findings === undefined) {
    throw new BerthError({
      code: "BERTH_HOST_FAILED",
      message: `cannot check ${ssh.destination}: "berth doctor" printed no report; run it on that host`,
    });
  }
  const failures = findings.filter(({ verdict }) => verdict === "failed").map(({ text }) => text);
  if (failures.length > 0 && !force) throw unsuitableHostError("add", ssh.destination, failures);
  for (const { text } of findings) printWarning(cli, `${facts.hostname}: ${text}`);
}

/** Joins with a token for this host alone. Returns the ID in the certificate. */
async function join(step: JoinStep, context: AddContext): Promise<string> {
  const { cli, client, ssh, facts, request } = context;
  const { signal } = cli;
  const isNode = request.role === "node";
  const { token, record } = await retryDuringElection(cli, () =>
    client.createJoinToken(
      {
        kind: isNode ? JoinKind.NODE : JoinKind.SERVER,
        ttlMs: TOKEN_TTL_MS,
        uses: 1,
        hostname: facts.hostname,
        requiresApproval: false,
        labels: {},
        replaceOthers: false,
      },
      { signal },
    ),
  );
  try {
    await runStep(ssh, describeAddStep(step, request), {
      script: isNode ? JOIN_NODE : JOIN_SERVER,
      args: isNode ? [step.server, request.address] : [step.server],
      input: `${token}\n`,
      timeoutMs: JOIN_TIMEOUT_MS,
    });
  } catch (error) {
    if (record !== undefined) await removeUnusedToken(client, record.id);
    throw error;
  }
  const [{ facts: joined }, cluster] = await Promise.all([
    examineHost(ssh, [], cli.now),
    readCluster(cli, client),
  ]);
  const member = membershipsOf(joined, cluster)[request.role];
  if (member !== undefined) return member.id;
  throw new BerthError({
    code: "BERTH_HOST_FAILED",
    message: `cannot read the certificate of ${ssh.destination} after it joined; run the command again`,
  });
}

/** Removes a join token. Ignores failures, because the token expires anyway. Ctrl-C does not interrupt this. */
async function removeUnusedToken(client: ControlClient, token: string): Promise<void> {
  const signal = AbortSignal.timeout(TOKEN_REMOVAL_TIMEOUT_MS);
  await client.removeJoinToken({ token }, { signal }).catch(() => {});
}

async function setLabels(
  node: string,
  labels: Readonly<Record<string, string>>,
  { cli, client }: AddContext,
): Promise<void> {
  const request = {
    node,
    availability: Availability.UNSPECIFIED,
    addLabels: { ...labels },
    removeLabels: [],
  };
  await retryDuringElection(cli, () => client.updateNode(request, { signal: cli.signal }));
}

async function startBerth(step: StartStep, context: AddContext): Promise<void> {
  const { ssh, request } = context;
  if (step.unit === "berth-server") {
    const { address } = request;
    const host = address.includes(":") ? `[${address}]` : address;
    const args = [`${host}:${SERVER_PORT}`];
    await runStep(ssh, "configure the server", {
      script: SET_LISTEN_ADDRESS,
      args,
      timeoutMs: JOIN_TIMEOUT_MS,
    });
  }
  await startUnit(`${step.unit}.service`, step, context);
}

async function startUnit(unit: string, step: AddStep, { ssh, request }: AddContext): Promise<void> {
  await runStep(ssh, describeAddStep(step, request), {
    script: START_UNIT,
    args: [unit],
    timeoutMs: START_TIMEOUT_MS,
  });
}

/**
 * Waits until the cluster reports the host as ready.
 *
 * @throws BerthError BERTH_NOT_CONVERGED at the timeout
 */
async function waitUntilReady(
  id: string,
  { cli, client, ssh, request, timeoutMs }: AddContext,
): Promise<void> {
  const { signal, now } = cli;
  const deadlineMs = now() + timeoutMs;
  for (;;) {
    const state = await readState(id, request.role, client, signal).catch((error: unknown) => {
      // A new server causes no election, but the command may be connected to a server that stops.
      if (!isLeaderChange(error)) throw error;
      return { isReady: false, reason: error instanceof Error ? error.message : String(error) };
    });
    if (state.isReady) return;
    if (now() >= deadlineMs) {
      const unit = request.role === "node" ? "berth-agent" : "berth-server";
      throw new BerthError({
        code: "BERTH_NOT_CONVERGED",
        message: `${ssh.destination} has joined, but was not ready within ${timeoutMs / 1_000} s: ${state.reason}; read its log: journalctl -u ${unit}`,
      });
    }
    await sleep(POLL_INTERVAL_MS, undefined, { signal });
  }
}

interface MemberState {
  readonly isReady: boolean;
  /** Reason why the host is not ready. */
  readonly reason: string;
}

async function readState(
  id: string,
  role: HostRole,
  client: ControlClient,
  signal: AbortSignal,
): Promise<MemberState> {
  if (role === "server") {
    const { servers } = await client.listServers({}, { signal });
    const isReady = servers.some(
      ({ server, etcd }) => server?.id === id && server.state === ServerState.UP && etcd?.isLearner !== true,
    );
    return { isReady, reason: "the server is not up, or its etcd member cannot vote yet" };
  }
  const { nodes } = await client.listNodes({}, { signal });
  const node = nodes.find((summary) => summary.node?.id === id)?.node;
  if (node === undefined) return { isReady: false, reason: "the cluster does not list the node" };
  const isReady = node.state === NodeState.READY && !node.agentUnreachable;
  const unreachableText = node.agentUnreachable ? "its agent is not connected" : "the node is not ready";
  return { isReady, reason: node.stateMessage || unreachableText };
}

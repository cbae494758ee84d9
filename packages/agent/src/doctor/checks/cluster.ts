import { once } from "node:events";
import { connect } from "node:net";
import {
  BERTH_VERSION,
  ControlServiceService,
  commonVersion,
  describeProtocol,
  type GetClusterResponse,
  type ListPeersResponse,
  NodeState,
  type Peer,
  PROTOCOL_VERSIONS,
  protocolRange,
} from "@berth/proto";
import { PROBE_PORT, probeHost } from "@berth/proto/probe";
import { createRpcClient, type RpcConnection } from "@berth/proto/rpc";
import { failureOf, type ProgramResult, runProgram } from "../../runtime/run-program.js";
import { type Check, type CheckContext, type Finding, failed, ok, skipped, warning } from "../check.js";
import { mapConcurrently } from "../map-concurrently.js";
import { interfaceOf, readMtu } from "./address.js";

/** Timeout of a call to a server. */
const CALL_TIMEOUT_MS = 5_000;
/** Timeout of a TCP connection to a server or a peer. */
const CONNECT_TIMEOUT_MS = 1_000;
const PROBE_OPTIONS = { port: PROBE_PORT, tries: 3, tryMs: 300 };
/**
 * Maximum number of peers that are checked concurrently, each with a probe and then a `ping`. 1,000 unreachable hosts take
 * a minute.
 */
const MAX_CONCURRENT_PEERS = 16;
/** Clock difference from which a warning is printed. Logs and events are sorted by the hosts' clocks. */
const CLOCK_WARNING_MS = 500;
/** Clock difference from which the check fails. Certificates and cron schedules depend on the time. */
const CLOCK_FAILURE_MS = 30_000;
/** Size of the headers of a ping packet: IPv4 (20) and ICMP (8). */
const PING_HEADER_BYTES = 28;

type Control = RpcConnection<typeof ControlServiceService>;

/** Checks the servers, this host's clock, and the network path to the other hosts. */
export const checkCluster: Check = async (context) => {
  const { servers, identity } = context;
  if (identity === undefined) return [];
  const findings: Finding[] = [];
  // One responding server is enough.
  let listed: ListPeersResponse | undefined;
  for (const address of servers) {
    const control = createRpcClient(ControlServiceService, { address, identity });
    try {
      findings.push(...(await checkServer(address, control, context)));
      listed ??= await listPeers(control, context);
    } catch (error) {
      findings.push(unreachableServer(address, error));
    } finally {
      control.close();
    }
  }
  if (listed === undefined) return findings;
  const { peers, nodeProblems, networks } = listed;
  const peerFindings = await mapConcurrently(MAX_CONCURRENT_PEERS, peers, (peer) => checkPeer(peer, context));
  return [
    ...findings,
    ...nodeProblems.map((problem) => warning("node", problem, "")),
    ...peerFindings.flat(),
    ...networks.flatMap(({ network, problems }) =>
      problems.map((problem) => warning(`network ${network}`, problem, "")),
    ),
  ];
};

async function checkServer(
  server: string,
  { calls }: Control,
  { signal }: CheckContext,
): Promise<readonly Finding[]> {
  const sentMs = Date.now();
  const cluster = await calls.getCluster({}, { signal, timeoutMs: CALL_TIMEOUT_MS });
  const { nowMs } = cluster;
  // Assumes that the request and the response took the same time.
  const serverReadClockMs = (sentMs + Date.now()) / 2;
  const reachable = evaluateVersion(`server ${server}`, cluster);
  // Servers of older releases do not send their time.
  return nowMs === 0 ? [reachable] : [reachable, evaluateClock(serverReadClockMs - nowMs)];
}

/** Compares the release and the protocol of this host and of the leader. */
export function evaluateVersion(subject: string, cluster: GetClusterResponse): Finding {
  const { serverVersion, protocolVersion, oldestProtocolVersion } = cluster;
  const reachable = `reachable, version ${serverVersion}`;
  const versions = protocolRange(oldestProtocolVersion || protocolVersion, protocolVersion);
  if (commonVersion(PROTOCOL_VERSIONS, versions) === undefined) {
    const localVersion = `${BERTH_VERSION} (${describeProtocol(PROTOCOL_VERSIONS)})`;
    const older = versions.newest < PROTOCOL_VERSIONS.oldest ? "the servers" : "this host";
    return failed(
      subject,
      `${reachable} (${describeProtocol(versions)}): incompatible with ${localVersion} of this host`,
      `Upgrade ${older}, one release at a time.`,
    );
  }
  if (serverVersion === BERTH_VERSION) return ok(subject, reachable);
  return warning(
    subject,
    `${reachable}, but this host has ${BERTH_VERSION}`,
    "The versions are compatible. Complete the upgrade: docs/upgrade.md describes the order.",
  );
}

/**
 * Evaluates the difference between the clocks of this host and of the leader.
 *
 * @param aheadMs how far this host's clock is ahead of the leader's
 */
export function evaluateClock(aheadMs: number): Finding {
  const offsetMs = Math.abs(aheadMs);
  const direction = aheadMs > 0 ? "ahead of" : "behind";
  const message = `${(offsetMs / 1_000).toFixed(2)} s ${direction} the leader's clock`;
  const advice =
    "Synchronize the clocks of all hosts with NTP, for example: apt-get install systemd-timesyncd.";
  if (offsetMs >= CLOCK_FAILURE_MS) return failed("clock", message, advice);
  return offsetMs >= CLOCK_WARNING_MS ? warning("clock", message, advice) : ok("clock", message);
}

function listPeers({ calls }: Control, { signal }: CheckContext): Promise<ListPeersResponse> {
  return calls.listPeers({}, { signal, timeoutMs: CALL_TIMEOUT_MS });
}

function unreachableServer(server: string, error: unknown): Finding {
  const reason = error instanceof Error ? error.message : String(error);
  return failed(
    `server ${server}`,
    `unreachable: ${reason}`,
    "Check that the server is running and that no firewall blocks its port.",
  );
}

async function checkPeer(peer: Peer, context: CheckContext): Promise<readonly Finding[]> {
  const { hostname, address, state } = peer;
  const subject = `peer ${hostname}`;
  const isReachable = await probeHost({ ...PROBE_OPTIONS, address }, context.signal);
  if (!isReachable) return [unreachablePeer(subject, address, state)];
  return [
    ok(subject, `${address} is reachable`),
    await checkImagePort(`${subject} images`, peer, context.signal),
    await checkPathMtu(`${subject} MTU`, address, context),
  ];
}

/** Checks whether this host can get images from a peer. */
export async function checkImagePort(
  subject: string,
  { address, imagePort: port }: Pick<Peer, "address" | "imagePort">,
  signal: AbortSignal,
): Promise<Finding> {
  if (port === 0) return skipped(subject, "not checked: the node serves no images to other nodes");
  const socket = connect({ host: address, port });
  try {
    await once(socket, "connect", {
      signal: AbortSignal.any([signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]),
    });
    return ok(subject, `port ${port} is reachable`);
  } catch (error) {
    signal.throwIfAborted();
    const isTimeout = error instanceof Error && error.name === "AbortError";
    const reason = isTimeout ? `no answer within ${CONNECT_TIMEOUT_MS / 1_000} s` : String(error);
    return warning(
      subject,
      `port ${port} is unreachable: ${reason}`,
      `Allow TCP to port ${port} in the firewall. Otherwise, this host gets no images from that node.`,
    );
  } finally {
    socket.destroy();
  }
}

function unreachablePeer(subject: string, address: string, state: NodeState): Finding {
  if (state === NodeState.DOWN) {
    return warning(subject, `${address} is unreachable, and the node is down`, "Start the host.");
  }
  return failed(
    subject,
    `${address} does not respond on port ${PROBE_PORT}, but the node is ready`,
    `Allow TCP to port ${PROBE_PORT} in the firewall: the host must refuse the connection, not drop its packets.`,
  );
}

/** Checks whether the path to a peer passes packets of the size of this host's MTU. */
async function checkPathMtu(subject: string, address: string, context: CheckContext): Promise<Finding> {
  const device = interfaceOf(context.advertiseAddress);
  if (device === undefined) {
    return skipped(subject, "not checked: the advertised address is not on this host");
  }
  const mtu = await readMtu(device, context.signal);
  const payloadBytes = String(mtu - PING_HEADER_BYTES);
  const result = await runProgram("ping", {
    args: ["-M", "do", "-c", "2", "-i", "0.2", "-W", "1", "-s", payloadBytes, address],
    signal: context.signal,
  });
  return evaluatePing(subject, result, { device, mtu });
}

function evaluatePing(
  subject: string,
  result: ProgramResult,
  { device, mtu }: { readonly device: string; readonly mtu: number },
): Finding {
  if (result.kind === "done") return ok(subject, `packets of ${mtu} bytes arrive`);
  if (result.kind === "missing") {
    return warning(subject, "not checked: ping is not installed", "Install iputils-ping.");
  }
  return failed(
    subject,
    `packets of ${mtu} bytes do not arrive: ${failureOf("ping", result)}`,
    `Lower the MTU of ${device}, or raise the MTU of the path. Otherwise, large packets are lost.`,
  );
}

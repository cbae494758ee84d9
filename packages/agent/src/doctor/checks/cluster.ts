import { ControlServiceService, type Node, NodeState, type NodeSummary } from "@berth/proto";
import { PROBE_PORT, probeHost } from "@berth/proto/probe";
import { grpcTransport, type RpcConnection } from "@berth/proto/rpc";
import { runProgram } from "../../runtime/run-program.js";
import type { Check, CheckContext } from "../check.js";
import { type Finding, failed, ok, warning } from "../finding.js";
import { mapConcurrently } from "../map-concurrently.js";
import { interfaceOf, mtuOf } from "./address.js";

const CALL_TIMEOUT_MS = 5_000;
const PROBE = { port: PROBE_PORT, tries: 3, tryMs: 300 };
/** Each is a connection and then a `ping`; 1,000 hosts that are silent take a minute. */
const MAX_PEERS_AT_ONCE = 16;
/** Times in logs and events are put in order by the hosts' clocks. */
const CLOCK_WARNING_MS = 500;
/** Certificates and schedules go wrong. */
const CLOCK_FAILURE_MS = 30_000;
/** IPv4 and ICMP headers. */
const PING_OVERHEAD = 28;

type Control = RpcConnection<typeof ControlServiceService>;

/** The servers, their clock, and the other hosts as this one reaches them. */
export const checkCluster: Check = async (context) => {
  const findings: Finding[] = [];
  let nodes: readonly NodeSummary[] | undefined;
  let networks: readonly Finding[] | undefined;
  for (const server of context.servers) {
    const control = grpcTransport.connect(ControlServiceService, { address: server });
    try {
      findings.push(...(await checkServer(server, control, context)));
      nodes ??= await nodesOf(control, context);
      networks ??= await networkFindings(control, context);
    } catch (error) {
      findings.push(unreachable(server, error));
    } finally {
      control.close();
    }
  }
  const isOwn = ({ node }: NodeSummary): boolean => node?.description?.address === context.advertiseAddress;
  const own = (nodes ?? []).filter(isOwn);
  const peers = (nodes ?? []).filter((each) => !isOwn(each)).flatMap(({ node }) => node ?? []);
  const looked = await mapConcurrently(MAX_PEERS_AT_ONCE, peers, (node) => checkPeer(node, context));
  return [...findings, ...own.flatMap(leaderFindings), ...looked.flat(), ...(networks ?? [])];
};

async function checkServer(
  server: string,
  { calls }: Control,
  { signal }: CheckContext,
): Promise<readonly Finding[]> {
  const askedAtMs = Date.now();
  const { serverVersion, nowMs } = await calls.getCluster({}, { signal, timeoutMs: CALL_TIMEOUT_MS });
  const middleMs = (askedAtMs + Date.now()) / 2;
  const reached = ok(`server ${server}`, `answers, release ${serverVersion}`);
  return nowMs === 0 ? [reached] : [reached, judgeClock(middleMs - nowMs)];
}

/** `aheadMs`: how far this host's clock is ahead of the leader's. */
export function judgeClock(aheadMs: number): Finding {
  const offMs = Math.abs(aheadMs);
  const side = aheadMs > 0 ? "ahead of" : "behind";
  const message = `${(offMs / 1_000).toFixed(2)} s ${side} the leader's`;
  const advice = "Let NTP set the clocks of all hosts: apt-get install systemd-timesyncd.";
  if (offMs >= CLOCK_FAILURE_MS) return failed("clock", message, advice);
  return offMs >= CLOCK_WARNING_MS ? warning("clock", message, advice) : ok("clock", message);
}

async function nodesOf({ calls }: Control, { signal }: CheckContext): Promise<readonly NodeSummary[]> {
  const { nodes } = await calls.listNodes({}, { signal, timeoutMs: CALL_TIMEOUT_MS });
  return nodes;
}

/** Problems of this host that the leader found, such as tasks that only this node rejects. */
const leaderFindings = ({ problems }: Pick<NodeSummary, "problems">): readonly Finding[] =>
  problems.map((problem) => warning("node", problem, ""));

/** What the servers say of networks: hosts of one whose uplinks differ. */
async function networkFindings({ calls }: Control, { signal }: CheckContext): Promise<readonly Finding[]> {
  const { networks } = await calls.listNetworks({ stack: "" }, { signal, timeoutMs: CALL_TIMEOUT_MS });
  return networks.flatMap(({ network, problems }) =>
    problems.map((problem) => warning(`network ${network?.spec?.name ?? ""}`, problem, "")),
  );
}

function unreachable(server: string, error: unknown): Finding {
  const reason = error instanceof Error ? error.message : String(error);
  return failed(
    `server ${server}`,
    `does not answer: ${reason}`,
    "Is it running, and does a firewall let its port through?",
  );
}

async function checkPeer(node: Node, context: CheckContext): Promise<readonly Finding[]> {
  const { hostname = node.id, address = "" } = node.description ?? {};
  const subject = `peer ${hostname}`;
  const answers = await probeHost({ ...PROBE, address }, context.signal);
  if (!answers) return [silentPeer(subject, address, node.state)];
  const reached = ok(subject, `${address} answers`);
  return [reached, await probeMtu(subject, address, context)];
}

function silentPeer(subject: string, address: string, state: NodeState): Finding {
  if (state === NodeState.DOWN)
    return warning(subject, `${address} is silent, and the node is down`, "Start it.");
  return failed(
    subject,
    `${address} does not answer on port ${PROBE_PORT}, though the node is ready`,
    `Let TCP to port ${PROBE_PORT} through the firewall: it must be refused by the host, not dropped on the way.`,
  );
}

/** Whether a packet as large as our own link takes arrives in one piece. */
async function probeMtu(subject: string, address: string, context: CheckContext): Promise<Finding> {
  const name = interfaceOf(context.advertiseAddress);
  if (name === undefined) return warning(`${subject} MTU`, "not tried", "See address.");
  const mtu = await mtuOf(name, context.signal);
  const size = String(mtu - PING_OVERHEAD);
  const ping = await runProgram("ping", {
    args: ["-M", "do", "-c", "2", "-i", "0.2", "-W", "1", "-s", size, address],
    signal: context.signal,
  });
  if (ping.kind === "done") return ok(`${subject} MTU`, `packets of ${mtu} bytes arrive`);
  if (ping.kind === "missing") {
    return warning(`${subject} MTU`, "not tried: there is no ping", "apt-get install iputils-ping");
  }
  return failed(
    `${subject} MTU`,
    `packets of ${mtu} bytes do not arrive whole: ${ping.reason}`,
    `Lower the MTU of ${name}, or raise that of the path; large answers get lost otherwise.`,
  );
}

import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type RunProgram, runProgram } from "../../runtime/run-program.js";
import { runNft } from "./nft.js";

/** A client whose SYN was not answered, and the address that it connects to. */
export interface UnansweredClient {
  readonly client: string;
  readonly clientPort: number;
  readonly address: string;
  readonly port: number;
}

/** Maximum number of clients per call. Under a SYN flood, further clients retransmit after 1 s, as TCP does anyway. */
const MAX_UNANSWERED_CLIENTS = 512;
/** When to send each challenge ACK, in ms from the first one: a packet may be lost. */
const CHALLENGE_ACK_TIMES_MS = [0, 40, 160] as const;
/**
 * Lifetime of a socket. The kernel sends the first packet of a connection at once and does not need the socket after
 * that.
 */
const SOCKET_LIFETIME_MS = 50;

/** The nftables maps with the clients to send challenge ACKs to, and the address and port that each connects to. */
const ADDRESS_SET = "challenge-ack-addresses";
const PORT_SET = "challenge-ack-ports";

/**
 * The maps and chains that turn a SYN to a client into a challenge ACK, for the body of an nftables table.
 *
 * A challenge ACK acknowledges data that the client never sent, and comes from the address that the client connects to.
 * Linux (since 5.6) then retransmits its SYN at once, but only once per connection. Other systems ignore the ACK. As
 * RFC 9293 demands, the client also replies with a reset, which no socket receives.
 *
 * Challenge ACKs bypass conntrack: their entry would collide with the entry of the retransmitted SYN. The rules drop
 * challenge ACKs to a client that has retransmitted its SYN.
 */
export const SYN_RETRANSMIT_RULES = `  map ${ADDRESS_SET} { type ipv4_addr . inet_service : ipv4_addr; flags timeout; timeout 1s; size 4096; }
  map ${PORT_SET} { type ipv4_addr . inet_service : inet_service; flags timeout; timeout 1s; size 4096; }
  set retransmitted { type ipv4_addr . inet_service; flags dynamic, timeout; timeout 1s; size 4096; }
  chain challenge-ack-untracked {
    type filter hook output priority -300; policy accept;
    tcp flags & (syn | ack) == syn ip daddr . tcp dport @${PORT_SET} notrack
  }
  chain challenge-ack-out {
    type filter hook output priority -142; policy accept;
    tcp flags & (syn | ack) == syn jump challenge-ack
  }
  chain challenge-ack-in {
    type filter hook prerouting priority -142; policy accept;
    tcp flags & (syn | ack) == syn ip saddr . tcp sport @${PORT_SET} update @retransmitted { ip saddr . tcp sport }
  }
  chain challenge-ack {
    ip saddr . tcp sport @${PORT_SET} update @retransmitted { ip saddr . tcp sport }
    ip daddr . tcp dport @${PORT_SET} ip daddr . tcp dport @retransmitted drop
    ip daddr . tcp dport @${PORT_SET} tcp flags set ack tcp ackseq set 0 tcp sport set ip daddr . tcp dport map @${PORT_SET} ip saddr set ip daddr . tcp dport map @${ADDRESS_SET}
  }
`;

export interface SynRetransmitOptions {
  /** The table that contains {@link SYN_RETRANSMIT_RULES}, with its family. */
  readonly table: string;
  /** A set of the table. The clients are added to it with the address and port that they connect to. */
  readonly clientSet?: string;
  readonly signal: AbortSignal;
  readonly run?: RunProgram;
  /** Sends a SYN, which the rules turn into a challenge ACK. */
  readonly sendSyn?: (host: string, port: number) => void;
}

/**
 * Makes clients retransmit their SYN now instead of after a second, by a challenge ACK. Delete their conntrack entries
 * first, or the retransmission goes to the same endpoint again. Repeats the challenge ACK until the client retransmits,
 * at most 3 times.
 */
export async function requestSynRetransmits(
  clients: readonly UnansweredClient[],
  { table, clientSet, signal, run = runProgram, sendSyn = sendFirstPacket }: SynRetransmitOptions,
): Promise<void> {
  if (clients.length === 0) return;
  const addTo = (set: string, suffix: (client: UnansweredClient) => string): string => {
    const elements = clients.map((entry) => `${entry.client} . ${entry.clientPort}${suffix(entry)}`);
    return `add element ${table} ${set} { ${elements.join(", ")} }\n`;
  };
  const script = [
    addTo(ADDRESS_SET, ({ address }) => ` : ${address}`),
    addTo(PORT_SET, ({ port }) => ` : ${port}`),
    clientSet === undefined ? "" : addTo(clientSet, ({ address, port }) => ` . ${address} . ${port}`),
  ].join("");
  // Without the elements, the rules would let plain SYNs through. The clients then retransmit after 1 s by themselves.
  if ((await runNft(script, { signal, run })) !== undefined) return;
  let elapsedMs = 0;
  for (const atMs of CHALLENGE_ACK_TIMES_MS) {
    if (atMs > elapsedMs) await sleep(atMs - elapsedMs, undefined, { signal });
    elapsedMs = atMs;
    for (const { client, clientPort } of clients) sendSyn(client, clientPort);
  }
}

function sendFirstPacket(host: string, port: number): void {
  const socket = connect({ host, port });
  socket.on("error", () => {});
  setTimeout(() => socket.destroy(), SOCKET_LIFETIME_MS).unref();
}

/**
 * Returns the clients of unanswered connections in conntrack's output, each port once. Lines look like
 * `tcp 6 0 SYN_SENT src=C dst=V sport=1 dport=80 [UNREPLIED] src=E dst=C sport=8080 dport=1 mark=…`.
 */
export function parseUnanswered(text: string): readonly UnansweredClient[] {
  const clients = new Map<string, UnansweredClient>();
  for (const line of text.split("\n")) {
    if (clients.size === MAX_UNANSWERED_CLIENTS) break;
    const [protocol, , , state] = line.split(/\s+/);
    if (protocol !== "tcp" || state !== "SYN_SENT" || !line.includes("[UNREPLIED]")) continue;
    const [, client, address, clientPort, port] =
      / src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+) /.exec(line) ?? [];
    if (client === undefined || address === undefined) continue;
    clients.set(`${client} ${clientPort}`, {
      client,
      clientPort: Number(clientPort),
      address,
      port: Number(port),
    });
  }
  return [...clients.values()];
}

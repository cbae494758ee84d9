/** A client that waits for an endpoint to answer, by how its packets look to itself. */
export interface Unanswered {
  readonly client: string;
  readonly clientPort: number;
  /** Where it connects to. */
  readonly address: string;
  readonly port: number;
}

/** As many as are told at a time. A flood's others repeat their SYN after a second, as TCP has it. */
const MAX_AT_ONCE = 512;

/**
 * Those in conntrack's list, from lines such as
 * `tcp 6 0 SYN_SENT src=C dst=V sport=1 dport=80 [UNREPLIED] src=E dst=C sport=8080 dport=1 mark=…`.
 * A client's port is there once.
 */
export function parseUnanswered(text: string): readonly Unanswered[] {
  const found = new Map<string, Unanswered>();
  for (const line of text.split("\n")) {
    if (found.size === MAX_AT_ONCE) break;
    const [protocol, , , state] = line.split(/\s+/);
    if (protocol !== "tcp" || state !== "SYN_SENT" || !line.includes("[UNREPLIED]")) continue;
    const [, client, address, clientPort, port] =
      / src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+) /.exec(line) ?? [];
    if (client === undefined || address === undefined) continue;
    found.set(`${client} ${clientPort}`, {
      client,
      clientPort: Number(clientPort),
      address,
      port: Number(port),
    });
  }
  return [...found.values()];
}

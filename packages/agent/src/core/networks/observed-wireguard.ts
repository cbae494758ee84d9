/** What a WireGuard device knows. */
export interface ObservedWireguard {
  /** Its own; "(none)": it has no key. */
  readonly publicKey: string;
  readonly port: number;
  /** By their public keys: what each may send from, and where it was heard last; "(none)": nothing. */
  readonly peers: ReadonlyMap<string, { readonly allowedIps: string; readonly endpoint: string }>;
}

/**
 * Parses what `wg show DEVICE dump` prints: a line for the device (private key, public key, port, mark), and one for each
 * peer (public key, shared key, endpoint, what it may send from, …).
 */
export function parseWireguard(dump: string): ObservedWireguard {
  const [device = [], ...peers] = dump
    .trim()
    .split("\n")
    .map((line) => line.split("\t"));
  const [, publicKey = "", port = ""] = device;
  return {
    publicKey,
    port: Number(port),
    peers: new Map(
      peers.map(([key = "", , endpoint = "", allowedIps = ""]) => [key, { endpoint, allowedIps }]),
    ),
  };
}

import type { IngressListener } from "../table.js";
import { endpointElement, type Protocol } from "./layout.js";
import { BALANCED_TEXT } from "./marks.js";
import { ReferenceCounts } from "./reference-counts.js";
import { kernelEndpoint } from "./wanted.js";

/** A replica by how its packets look. */
export interface FlowEnd {
  readonly protocol: Protocol;
  readonly address: string;
  /** Undefined: all of its ports. */
  readonly port: number | undefined;
}

/**
 * Knows whose connections the kernel has to forget: of endpoints that were in a table and are not any more, not even
 * as draining ones. The next packet of such a connection goes to another endpoint, which does not know it and resets
 * it: that is how a client learns of a dead host. A UDP flow just goes on with another endpoint.
 */
export class FlowEnds {
  readonly #ends = new ReferenceCounts();
  readonly #addresses = new Map<string, number>();

  add(listener: IngressListener): void {
    for (const [key, address] of endsOf(listener)) {
      this.#ends.add(key);
      this.#addresses.set(address, (this.#addresses.get(address) ?? 0) + 1);
    }
  }

  remove(listener: IngressListener): void {
    for (const [key, address] of endsOf(listener)) {
      this.#ends.remove(key);
      this.#addresses.set(address, (this.#addresses.get(address) ?? 0) - 1);
    }
  }

  /** Those that vanished since the last time. When all of an address did, it is one end: a dead host, most likely. */
  drain(): readonly FlowEnd[] {
    const vanished = new Map<string, FlowEnd>();
    for (const key of this.#ends.drain().deleted) {
      const [address = "", protocol, port] = key.split(" . ");
      const isWhole = (this.#addresses.get(address) ?? 0) <= 0;
      const end: FlowEnd = {
        protocol: protocol === "udp" ? "udp" : "tcp",
        address,
        port: isWhole ? undefined : Number(port),
      };
      vanished.set(`${end.protocol} ${address} ${end.port}`, end);
      if (isWhole) this.#addresses.delete(address);
    }
    return [...vanished.values()];
  }
}

/** Arguments for `conntrack`. */
export function deletionArguments({ protocol, address, port }: FlowEnd): readonly string[] {
  const mark = `${BALANCED_TEXT}/${BALANCED_TEXT}`;
  return [
    ...["--delete", "--proto", protocol, "--mark", mark, "--reply-src", address],
    ...(port === undefined ? [] : ["--reply-port-src", String(port)]),
  ];
}

function* endsOf({ protocol, endpoints, draining }: IngressListener): Generator<readonly [string, string]> {
  for (const each of [...endpoints, ...draining]) {
    const endpoint = kernelEndpoint(each);
    if (endpoint !== undefined) yield [endpointElement(protocol, endpoint), endpoint.address];
  }
}

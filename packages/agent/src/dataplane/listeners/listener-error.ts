import { type IngressListener, type ListenerError, listenerName } from "../table/ingress-table.js";
import { findPortOwner } from "./port-owner.js";

/** Why a listener could not be opened, with what to do about it. */
export async function describeListenerError(
  listener: IngressListener,
  error: unknown,
): Promise<ListenerError> {
  const { protocol, address, port, service } = listener;
  const code = error instanceof Error && "code" in error ? String(error.code) : "EIO";
  return { protocol, address, port, service, code, message: await describe(listener, code) };
}

async function describe(listener: IngressListener, code: string): Promise<string> {
  const what = `cannot publish ${listenerName(listener)} for ${listener.service}`;
  switch (code) {
    case "EADDRINUSE": {
      const owner = (await findPortOwner(listener.protocol, listener.port)) ?? "another process";
      return `${what}: ${owner} already listens on that port of this host; stop it or publish another port`;
    }
    case "EACCES":
      return `${what}: ports below 1024 need root or CAP_NET_BIND_SERVICE`;
    case "EMFILE":
    case "ENFILE":
      return `${what}: no more files can be opened; raise LimitNOFILE= in the agent's unit, or ulimit -Hn`;
    case "EADDRNOTAVAIL":
      return `${what}: this host has no address ${listener.address}`;
    default:
      return `${what}: ${code}`;
  }
}

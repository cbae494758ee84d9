import { type IngressListener, type ListenerError, listenerName } from "../table/ingress-table.js";

/** Returns the error of a listener that could not be opened, with a message that says why and how to fix it. */
export function describeListenerError(listener: IngressListener, error: unknown): ListenerError {
  const { protocol, address, port, service } = listener;
  const code = error instanceof Error && "code" in error ? String(error.code) : "EIO";
  const details = { protocol, address, port, service, code };
  return { ...details, message: listenerMessage(details) };
}

/**
 * Returns the message of a listener that could not be opened.
 *
 * @param portOwner the process that occupies the port. The ingress process cannot see processes of other users.
 */
export function listenerMessage(
  error: Omit<ListenerError, "message">,
  portOwner = "another process",
): string {
  const problem = `cannot publish ${listenerName(error)} for ${error.service}`;
  switch (error.code) {
    case "EADDRINUSE":
      return `${problem}: ${portOwner} already listens on that port of this host; stop it or publish another port`;
    case "EACCES":
      return `${problem}: ports below 1024 need root or CAP_NET_BIND_SERVICE`;
    case "EMFILE":
    case "ENFILE":
      return `${problem}: too many open files; raise LimitNOFILE= in the agent's unit, or ulimit -Hn`;
    case "EADDRNOTAVAIL":
      return `${problem}: this host has no address ${error.address}`;
    default:
      return `${problem}: ${error.code}`;
  }
}

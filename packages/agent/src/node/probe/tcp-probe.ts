import { isIP } from "node:net";
import { getSystemErrorName } from "node:util";
import { type Probe, type ProbeTarget, probeHost } from "@berth/proto/probe";
import { loadTcpBinding, type TcpBinding, type TcpHandle } from "../../runtime/tcp-binding.js";

/** Errors that show a response from a live kernel. */
const RESPONSE_CODES: ReadonlySet<string> = new Set(["ECONNREFUSED", "ECONNRESET"]);
const MAX_PORT = 65_535;

/**
 * Returns a probe with the behavior of `probeHost` at a fraction of its cost. It uses Node's TCP binding: with `node:net`,
 * the sockets and the error objects of refused connections dominated the CPU time of an agent that probes its peers.
 */
export function createProbe(): Probe {
  const binding = loadTcpBinding();
  if (binding === undefined) return probeHost;
  return (target, signal) =>
    isIP(target.address) !== 0 && target.port <= MAX_PORT
      ? tryConnect(binding, target, signal)
      : probeHost(target, signal);
}

function tryConnect(
  binding: TcpBinding,
  { address, port, tries, tryMs }: ProbeTarget,
  signal: AbortSignal,
): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve(false);
      return;
    }
    const handles: TcpHandle[] = [];
    let timer: NodeJS.Timeout | undefined;
    let isFinished = false;
    const finish = (isAnswered: boolean): void => {
      if (isFinished) return;
      isFinished = true;
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      for (const handle of handles) handle.close();
      resolve(isAnswered);
    };
    const onAbort = (): void => finish(false);
    const tryNext = (): void => {
      if (handles.length >= tries) {
        finish(false);
        return;
      }
      const handle = new binding.TCP(binding.SOCKET);
      handles.push(handle);
      timer = setTimeout(tryNext, tryMs);
      const request = new binding.TCPConnectWrap();
      request.oncomplete = (status) => {
        if (status === 0 || RESPONSE_CODES.has(getSystemErrorName(status))) finish(true);
      };
      // A connect that fails at once, as without a route, is repeated by the next try.
      if (isIP(address) === 6) {
        handle.connect6(request, address, port);
      } else {
        handle.connect(request, address, port);
      }
    };
    signal.addEventListener("abort", onAbort, { once: true });
    tryNext();
  });
}

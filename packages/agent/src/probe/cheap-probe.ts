import { isIP } from "node:net";
import { getSystemErrorName } from "node:util";
import { type Probe, probeHost } from "@berth/proto";
import { loadTcpBinding, type RawBinding, type RawHandle } from "../ingress/raw-binding.js";

/** What a kernel that lives says. */
const ANSWERS: ReadonlySet<string> = new Set(["ECONNREFUSED", "ECONNRESET"]);
const MAX_PORT = 65_535;

/**
 * Asks as `probeHost` does, once, at a fraction of its cost: sockets of `node:net`, and the error that each refusal makes,
 * cost an agent that asks its peers all day more than everything else that it does then.
 */
export function cheapProbe(): Probe {
  const binding = loadTcpBinding();
  if (binding === undefined) return probeHost;
  return (target, signal) =>
    target.tries === 1 && isIP(target.address) !== 0 && target.port <= MAX_PORT
      ? ask(binding, target, signal)
      : probeHost(target, signal);
}

function ask(
  binding: RawBinding,
  { address, port, tryMs }: { readonly address: string; readonly port: number; readonly tryMs: number },
  signal: AbortSignal,
): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve(false);
      return;
    }
    const handle: RawHandle = new binding.TCP(binding.SOCKET);
    let isOver = false;
    const end = (isAnswered: boolean): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      handle.close();
      resolve(isAnswered);
    };
    const onAbort = (): void => end(false);
    const timer = setTimeout(() => end(false), tryMs);
    signal.addEventListener("abort", onAbort, { once: true });
    const request = new binding.TCPConnectWrap();
    request.oncomplete = (status) => end(status === 0 || ANSWERS.has(getSystemErrorName(status)));
    const status =
      isIP(address) === 6 ? handle.connect6(request, address, port) : handle.connect(request, address, port);
    if (status !== 0) end(false);
  });
}

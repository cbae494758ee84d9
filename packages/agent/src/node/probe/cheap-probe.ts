import { isIP } from "node:net";
import { getSystemErrorName } from "node:util";
import { type Probe, type ProbeTarget, probeHost } from "@berth/proto/probe";
import { loadTcpBinding, type TcpBinding, type TcpHandle } from "../../runtime/tcp-binding.js";

/** What a kernel that lives says. */
const ANSWERS: ReadonlySet<string> = new Set(["ECONNREFUSED", "ECONNRESET"]);
const MAX_PORT = 65_535;

/**
 * Asks as `probeHost` does, at a fraction of its cost: sockets of `node:net`, and the error that each refusal makes,
 * cost an agent that asks its peers and its server all day more than everything else that it does then.
 */
export function cheapProbe(): Probe {
  const binding = loadTcpBinding();
  if (binding === undefined) return probeHost;
  return (target, signal) =>
    isIP(target.address) !== 0 && target.port <= MAX_PORT
      ? ask(binding, target, signal)
      : probeHost(target, signal);
}

function ask(
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
    let isOver = false;
    const end = (isAnswered: boolean): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      for (const handle of handles) handle.close();
      resolve(isAnswered);
    };
    const onAbort = (): void => end(false);
    const tryNext = (): void => {
      if (handles.length >= tries) {
        end(false);
        return;
      }
      const handle = new binding.TCP(binding.SOCKET);
      handles.push(handle);
      timer = setTimeout(tryNext, tryMs);
      const request = new binding.TCPConnectWrap();
      request.oncomplete = (status) => {
        if (status === 0 || ANSWERS.has(getSystemErrorName(status))) end(true);
      };
      // What cannot even be tried now, since there is no way there, may be possible with the next try.
      if (isIP(address) === 6) handle.connect6(request, address, port);
      else handle.connect(request, address, port);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    tryNext();
  });
}

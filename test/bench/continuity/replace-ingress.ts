import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { SOCKET_NAME } from "../../../packages/agent/src/dataplane/control/protocol.js";
import { IngressSession } from "../../../packages/agent/src/dataplane-client/ingress-session.js";

/** Options that the ingress process adds for its successor itself. */
const OWN_OPTIONS = ["--data-dir", "--release"];

/**
 * Has a host's ingress process hand over to a process of another release, as an agent of that release does.
 * @throws BerthError BERTH_INGRESS_FAILED when the process does not hand over
 */
export async function replaceIngress(host: LabHost, release: string): Promise<void> {
  const [executable = "", entryPath = "", ...args] = host.processes("ingress")[0]?.argv ?? [];
  const dataDir = args[args.indexOf("--data-dir") + 1] ?? "";
  const kept = args.filter((arg, index) => {
    const isOwn = OWN_OPTIONS.includes(arg) || OWN_OPTIONS.includes(args[index - 1] ?? "");
    return !isOwn && arg !== "--inherit";
  });
  const program = { executable, entryPath, args: [...kept, "--release", release] };
  // Sockets in the file system are shared by all hosts of a lab.
  const session = await IngressSession.open(`${dataDir}/${SOCKET_NAME}`);
  try {
    await session.request({ $case: "handOver", value: program }, "done");
  } finally {
    session.close();
  }
}

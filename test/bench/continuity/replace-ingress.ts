import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { SOCKET_NAME } from "../../../packages/agent/src/dataplane/control/protocol.js";
import { IngressSession } from "../../../packages/agent/src/dataplane-client/ingress-session.js";

/** Options, each with a value, that the command line of the successor must not inherit. */
const OMITTED_OPTIONS = ["--data-dir", "--release"];

/**
 * Makes a host's ingress process hand over to a process of another release, as an agent of that release would.
 *
 * @throws BerthError BERTH_INGRESS_FAILED if the process does not hand over
 */
export async function replaceIngress(host: LabHost, release: string): Promise<void> {
  const [executable = "", entryPath = "", ...args] = host.processes("ingress")[0]?.argv ?? [];
  const dataDir = args[args.indexOf("--data-dir") + 1] ?? "";
  const inheritedArgs = args.filter((arg, index) => {
    const isOmitted = OMITTED_OPTIONS.includes(arg) || OMITTED_OPTIONS.includes(args[index - 1] ?? "");
    return !isOmitted && arg !== "--inherit";
  });
  const program = { executable, entryPath, args: [...inheritedArgs, "--release", release] };
  // All hosts of a lab share the file system, so this process can reach the host's socket.
  const session = await IngressSession.open(`${dataDir}/${SOCKET_NAME}`);
  try {
    await session.request({ $case: "handOver", value: program }, "done");
  } finally {
    session.close();
  }
}

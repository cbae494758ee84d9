import { BerthError } from "@berth/proto";
import type { IngressUser } from "../dataplane/spawn-ingress.js";
import { failureOf, type RunProgram, runProgram } from "../runtime/run-program.js";

/**
 * Returns the IDs of the user that the ingress process runs as.
 * @throws BerthError BERTH_INGRESS_FAILED when this host has no such user, or an iptables that only root can use
 */
export async function findIngressUser(
  name: string,
  signal: AbortSignal,
  run: RunProgram = runProgram,
): Promise<IngressUser> {
  const readId = async (flag: string): Promise<number> => {
    const result = await run("id", { args: [flag, "--", name], signal });
    if (result.kind === "done") return Number(result.stdout);
    throw failed(name, `${failureOf("id", result)}: add the user with useradd --system, or name another one`);
  };
  const user = { uid: await readId("-u"), gid: await readId("-g") };
  const iptables = await run("iptables", { args: ["--version"], signal });
  // Its lock, /run/xtables.lock, can be opened by root only.
  if (iptables.kind === "done" && !iptables.stdout.includes("nf_tables")) {
    throw failed(name, "iptables-legacy requires root: install iptables-nft, or omit --ingress-user");
  }
  return user;
}

function failed(name: string, reason: string): BerthError {
  const message = `cannot run the ingress process as user "${name}": ${reason}`;
  return new BerthError({ code: "BERTH_INGRESS_FAILED", message });
}

import type { Check, CheckContext } from "./check.js";
import { checkAddress } from "./checks/address.js";
import { checkCluster } from "./checks/cluster.js";
import { checkDataDisk } from "./checks/disk.js";
import { checkNames } from "./checks/dns.js";
import { checkDocker } from "./checks/docker.js";
import { checkKernelPaths } from "./checks/kernel-paths.js";
import { type Finding, failed } from "./finding.js";

/** In the order in which they are told. */
const CHECKS: Readonly<Record<string, Check>> = {
  kernel: checkKernelPaths,
  Docker: checkDocker,
  names: checkNames,
  address: checkAddress,
  "data folder": checkDataDisk,
  cluster: checkCluster,
};

/** Makes all checks side by side. Rejects only when the signal fires. */
export async function runChecks(context: CheckContext): Promise<readonly Finding[]> {
  const all = await Promise.all(
    Object.entries(CHECKS).map(async ([subject, check]) => {
      try {
        return await check(context);
      } catch (error) {
        context.signal.throwIfAborted();
        const reason = error instanceof Error ? error.message : String(error);
        return [failed(subject, reason, "")];
      }
    }),
  );
  return all.flat();
}

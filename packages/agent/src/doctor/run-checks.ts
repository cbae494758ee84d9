import { type Check, type CheckContext, type Finding, failed } from "./check.js";
import { checkAddress } from "./checks/address.js";
import { checkCluster } from "./checks/cluster.js";
import { checkDataDisk } from "./checks/disk.js";
import { checkDns } from "./checks/dns.js";
import { checkDocker } from "./checks/docker.js";
import { checkIdentity } from "./checks/identity.js";
import { checkIngressUser } from "./checks/ingress-user.js";
import { checkKernelPaths } from "./checks/kernel-paths.js";
import { checkStateFile } from "./checks/state-file.js";

/** The checks in the order of the report, by the subject that is reported if a check rejects. */
const CHECKS: Readonly<Record<string, Check>> = {
  kernel: checkKernelPaths,
  "ingress user": checkIngressUser,
  Docker: checkDocker,
  DNS: checkDns,
  address: checkAddress,
  "data directory": checkDataDisk,
  "agent state": checkStateFile,
  identity: checkIdentity,
  cluster: checkCluster,
};

/** Runs all checks concurrently. Rejects only when the signal is aborted. */
export async function runChecks(context: CheckContext): Promise<readonly Finding[]> {
  const findings = await Promise.all(
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
  return findings.flat();
}

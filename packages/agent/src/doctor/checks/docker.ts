import { readFile, statfs } from "node:fs/promises";
import { fieldOf, listOf, textOf } from "../../core/docker/json.js";
import { EngineClient } from "../../engine/dockerode/client.js";
import { runProgram } from "../../runtime/run-program.js";
import type { Check, CheckContext } from "../check.js";
import { type Finding, failed, ok, warning } from "../finding.js";
import { judgeDisk } from "./disk.js";

/** Docker 20.10. */
const LEAST_API = 1.41;
const TIMEOUT_MS = 5_000;

/** What is read of the daemon. */
export interface DockerFacts {
  readonly version: string;
  readonly apiVersion: string;
  readonly isRootless: boolean;
  readonly isDesktop: boolean;
}

/** The daemon, the rules that it has set, and the disk that it writes to. */
export const checkDocker: Check = async (context) => {
  const client = new EngineClient(context.dockerSocket);
  const get = (path: string): Promise<unknown> =>
    client.request({ method: "GET", path, signal: context.signal, timeoutMs: TIMEOUT_MS });
  const [version, info] = await Promise.all([get("/version"), get("/info")]);
  const facts: DockerFacts = {
    version: textOf(fieldOf(version, "Version")),
    apiVersion: textOf(fieldOf(version, "ApiVersion")),
    isRootless: listOf(fieldOf(info, "SecurityOptions")).some((option) =>
      textOf(option).includes("rootless"),
    ),
    isDesktop: textOf(fieldOf(info, "OperatingSystem")) === "Docker Desktop",
  };
  const rootDir = textOf(fieldOf(info, "DockerRootDir"));
  return [judgeDocker(facts), await checkForwarding(), await checkRules(context), await rootDisk(rootDir)];
};

export function judgeDocker({ version, apiVersion, isRootless, isDesktop }: DockerFacts): Finding {
  if (Number(apiVersion) < LEAST_API) {
    return failed("Docker", `${version} is too old`, "berth needs Docker 20.10 or newer.");
  }
  if (isRootless || isDesktop) {
    const kind = isRootless ? "rootless" : "Docker Desktop";
    return warning(
      "Docker",
      `${version}, ${kind}: no networks that span hosts, and a process balances published ports`,
      "For both, run Docker on Linux as root.",
    );
  }
  return ok("Docker", `${version} (API ${apiVersion})`);
}

async function checkForwarding(): Promise<Finding> {
  const text = await readFile("/proc/sys/net/ipv4/ip_forward", "utf8");
  if (text.trim() === "1") return ok("forwarding", "the kernel forwards packets to containers");
  return failed(
    "forwarding",
    "the kernel forwards no packets: no container is reached through another host",
    "sysctl -w net.ipv4.ip_forward=1, and keep it in /etc/sysctl.d/.",
  );
}

async function checkRules({ signal }: CheckContext): Promise<Finding> {
  const forward = await runProgram("iptables", { args: ["-w", "-S", "FORWARD"], signal });
  if (forward.kind !== "done") return ok("Docker's rules", "no iptables here: nothing of it is in the way");
  return judgeForward(forward.stdout);
}

/** `iptables -S FORWARD`: what it drops must have passed the chain in which exceptions are made. */
export function judgeForward(rules: string): Finding {
  const isDropped = /^-P FORWARD DROP/m.test(rules);
  const hasExceptions = /^-A FORWARD (?:.* )?-j DOCKER-USER/m.test(rules);
  if (!isDropped || hasExceptions) return ok("Docker's rules", "leave room for berth's own");
  return warning(
    "Docker's rules",
    "everything forwarded is dropped, and the chain DOCKER-USER is not asked",
    "Restart Docker: it puts its chains back.",
  );
}

async function rootDisk(path: string): Promise<Finding> {
  try {
    return judgeDisk("Docker's disk", path, await statfs(path));
  } catch {
    return ok("Docker's disk", `${path} cannot be seen from here`);
  }
}

import { readFile, statfs } from "node:fs/promises";
import { compareVersions } from "@berth/proto";
import { readField, readList, readString } from "../../core/docker/json.js";
import { EngineClient } from "../../engine/dockerode/client.js";
import { failureOf, type ProgramResult, runProgram } from "../../runtime/run-program.js";
import { type Check, type CheckContext, type Finding, failed, ok, skipped, warning } from "../check.js";
import { evaluateDisk } from "./disk.js";

/** The API version of Docker 20.10. */
const MIN_API_VERSION = "1.41";
const TIMEOUT_MS = 5_000;

/** The properties of dockerd that berth depends on. */
export interface DaemonProperties {
  readonly version: string;
  readonly apiVersion: string;
  readonly isRootless: boolean;
  readonly isDesktop: boolean;
}

/** Checks dockerd, IP forwarding, Docker's firewall rules, and the disk that Docker writes to. */
export const checkDocker: Check = async (context) => {
  const client = new EngineClient(context.dockerSocket);
  const get = (path: string): Promise<unknown> =>
    client.request({ method: "GET", path, signal: context.signal, timeoutMs: TIMEOUT_MS });
  const [version, info] = await Promise.all([get("/version"), get("/info")]);
  return [
    evaluateDaemon(parseDaemon(version, info)),
    await checkForwarding(),
    await checkForwardChain(context),
    await checkRootDisk(readString(readField(info, "DockerRootDir"))),
  ];
};

function parseDaemon(version: unknown, info: unknown): DaemonProperties {
  return {
    version: readString(readField(version, "Version")),
    apiVersion: readString(readField(version, "ApiVersion")),
    isRootless: readList(readField(info, "SecurityOptions")).some((option) =>
      readString(option).includes("rootless"),
    ),
    isDesktop: readString(readField(info, "OperatingSystem")) === "Docker Desktop",
  };
}

export function evaluateDaemon({ version, apiVersion, isRootless, isDesktop }: DaemonProperties): Finding {
  if (compareVersions(apiVersion, MIN_API_VERSION) < 0) {
    return failed("Docker", `version ${version} is too old`, "Upgrade to Docker 20.10 or later.");
  }
  if (isRootless || isDesktop) {
    const kind = isRootless ? "rootless" : "Docker Desktop";
    return warning(
      "Docker",
      `${version}, ${kind}: overlay networks do not work, and published ports use the slower user-space proxy`,
      "Run Docker on Linux as root.",
    );
  }
  return ok("Docker", `${version} (API ${apiVersion})`);
}

async function checkForwarding(): Promise<Finding> {
  const text = await readFile("/proc/sys/net/ipv4/ip_forward", "utf8");
  if (text.trim() === "1") return ok("forwarding", "the kernel forwards packets to containers");
  return failed(
    "forwarding",
    "the kernel does not forward packets: other hosts cannot reach containers on this host",
    "Run sysctl -w net.ipv4.ip_forward=1, and add the setting to /etc/sysctl.d/.",
  );
}

async function checkForwardChain({ signal }: CheckContext): Promise<Finding> {
  return evaluateForwardChain(await runProgram("iptables", { args: ["-w", "-S", "FORWARD"], signal }));
}

/** Evaluates the output of `iptables -S FORWARD`. berth adds its exceptions to the chain DOCKER-USER. */
export function evaluateForwardChain(result: ProgramResult): Finding {
  const subject = "Docker's firewall rules";
  if (result.kind !== "done") return skipped(subject, `not checked: ${failureOf("iptables", result)}`);
  const isDropped = /^-P FORWARD DROP/m.test(result.stdout);
  const hasExceptions = /^-A FORWARD (?:.* )?-j DOCKER-USER/m.test(result.stdout);
  if (!isDropped || hasExceptions) return ok(subject, "packets between containers can pass");
  return warning(
    subject,
    "forwarded packets are dropped, and no rule jumps to the chain DOCKER-USER",
    "Restart Docker, which restores its rules.",
  );
}

/**
 * Checks the disk that Docker writes to.
 *
 * @param path Docker's root directory, which may be in another mount namespace
 */
export async function checkRootDisk(path: string): Promise<Finding> {
  const subject = "Docker's disk";
  try {
    return evaluateDisk(subject, path, await statfs(path));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return skipped(subject, `not checked: ${reason}`);
  }
}

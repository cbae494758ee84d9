import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { isAlive, type ProcessRef, processRef } from "../../../deploy/lab/processes.js";

/**
 * Returns everything that exists of a lab on this machine, one line each: links, routes, firewall rules, mounts in any
 * mount namespace, control groups, directories, and those of `processes` that are alive.
 */
export function labTraces(lab: string, subnet: string, processes: readonly ProcessRef[]): string[] {
  const carriesName = (line: string): boolean => line.includes(lab) || line.includes(`${subnet}.`);
  return [
    ...output("ip", "-o", "address").filter(carriesName).map(labeled("link")),
    ...output("ip", "route").filter(carriesName).map(labeled("route")),
    ...output("nft", "list", "ruleset").filter(carriesName).map(labeled("rule")),
    ...allMounts().filter(carriesName).map(labeled("mount")),
    ...output("find", "/sys/fs/cgroup", "-name", lab).map(labeled("cgroup")),
    ...["/run/berth-lab", "/var/lib/berth-lab"]
      .flatMap(entries)
      .filter(carriesName)
      .map(labeled("directory")),
    ...processes.filter(isAlive).map(({ pid }) => `process ${pid}: ${read(`/proc/${pid}/cmdline`)}`),
  ];
}

/** Returns a process and all its descendants, across nested PID namespaces. */
export function processTree(root: ProcessRef): ProcessRef[] {
  const { pid } = root;
  const children = read(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean).map(Number);
  return [
    root,
    ...children
      .map(processRef)
      .filter((child) => child !== undefined)
      .flatMap(processTree),
  ];
}

/** Returns the mounts of all mount namespaces. */
function allMounts(): string[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const byNamespace = new Map(pids.map((pid) => [mountNamespaceOf(pid) ?? pid, pid]));
  return [...byNamespace.values()].flatMap((pid) => read(`/proc/${pid}/mountinfo`).split("\n"));
}

function mountNamespaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`);
  } catch {
    return undefined;
  }
}

function output(program: string, ...args: string[]): string[] {
  const text = execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return text.split("\n").filter(Boolean);
}

function entries(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function labeled(what: string): (line: string) => string {
  return (line) => `${what} ${line}`;
}

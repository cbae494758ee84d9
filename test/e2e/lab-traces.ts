import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

const NAMESPACE_KINDS = ["net", "pid", "mnt", "uts"] as const;

/**
 * Everything on this machine by which a lab could be noticed, a line each: links, routes, firewall rules, mounts in
 * any mount namespace, control groups, folders, and processes that are in one of `namespaces`.
 */
export function labTraces(lab: string, subnet: string, namespaces: ReadonlySet<string>): string[] {
  const names = [lab, `${subnet}.`, ...[...namespaces].map((id) => id.replace(/\D/g, ""))];
  const carriesName = (line: string): boolean => names.some((name) => line.includes(name));
  return [
    ...output("ip", "-o", "address").filter(carriesName).map(labelled("link")),
    ...output("ip", "route").filter(carriesName).map(labelled("route")),
    ...output("nft", "list", "ruleset").filter(carriesName).map(labelled("rule")),
    ...allMounts().filter(carriesName).map(labelled("mount")),
    ...output("find", "/sys/fs/cgroup", "-name", lab).map(labelled("cgroup")),
    ...["/run/berth-lab", "/var/lib/berth-lab"].flatMap(entries).filter(carriesName).map(labelled("folder")),
    ...processes()
      .filter(({ ids }) => ids.some((id) => namespaces.has(id)))
      .map(({ pid, ids }) => `process ${pid}: ${read(`/proc/${pid}/cmdline`)} ${ids}`),
  ];
}

/** The namespaces of all processes in the network namespaces whose handles are given, and of their containers. */
export function namespacesUnder(initPids: readonly number[]): Set<string> {
  const own = new Set(namespacesOf("self"));
  const found = new Set<string>();
  for (const pid of initPids.flatMap(descendants)) {
    for (const id of namespacesOf(pid)) if (!own.has(id)) found.add(id);
  }
  return found;
}

function descendants(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean).map(Number);
  return [pid, ...children.flatMap(descendants)];
}

function processes(): { pid: string; ids: string[] }[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ({ pid, ids: namespacesOf(pid) }));
}

function namespacesOf(pid: number | string): string[] {
  return NAMESPACE_KINDS.flatMap((kind) => {
    try {
      return [readlinkSync(`/proc/${pid}/ns/${kind}`)];
    } catch {
      return [];
    }
  });
}

/** What is mounted anywhere: each mount namespace once. */
function allMounts(): string[] {
  const byNamespace = new Map(processes().map(({ pid, ids }) => [ids[2] ?? pid, pid]));
  return [...byNamespace.values()].flatMap((pid) => read(`/proc/${pid}/mountinfo`).split("\n"));
}

function output(program: string, ...args: string[]): string[] {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
    .split("\n")
    .filter(Boolean);
}

function entries(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function labelled(what: string): (line: string) => string {
  return (line) => `${what} ${line}`;
}

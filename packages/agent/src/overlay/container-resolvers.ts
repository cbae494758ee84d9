import { readFile } from "node:fs/promises";
import { parseResolvConf } from "../dns/host-resolvers.js";

/** The first holds the address of systemd's own resolver where that runs, and then the second its servers. */
const FILES = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] as const;

/** The host's name servers as far as containers can reach them: those on its loopback addresses they cannot. */
export async function containerResolvers(files: readonly string[] = FILES): Promise<readonly string[]> {
  for (const file of files) {
    const servers = parseResolvConf(await readFile(file, "utf8").catch(() => ""));
    const reachable = servers.filter((server) => !/^127\.|^::1$/.test(server));
    if (reachable.length > 0) return reachable;
  }
  return [];
}

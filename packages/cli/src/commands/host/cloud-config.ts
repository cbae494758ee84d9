import { stringify } from "yaml";
import type { InstallLineOptions } from "./install-line.js";

/** Directory of the token file, in memory, so that the token is never written to the machine's disk. */
const DIRECTORY = "/run/berth-install";

/**
 * Returns user data for cloud-init with which a machine installs berth at its first boot, and joins as a node. It
 * contains the script, so the machine trusts nothing that it downloads.
 */
export function cloudConfig({
  script,
  servers,
  token,
}: Pick<InstallLineOptions, "script" | "servers" | "token">): string {
  const command = `sh ${DIRECTORY}/install.sh ${servers.join(" ")} <${DIRECTORY}/token; status=$?; rm -r ${DIRECTORY}; exit $status`;
  const config = {
    write_files: [
      { path: `${DIRECTORY}/install.sh`, permissions: "0700", content: script },
      { path: `${DIRECTORY}/token`, permissions: "0600", content: `${token}\n` },
    ],
    runcmd: [["sh", "-c", command]],
  };
  return `#cloud-config\n${stringify(config, { lineWidth: 0 })}`;
}

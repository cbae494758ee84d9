import { spawn } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { docker } from "../../../deploy/lab/images.js";
import type { Lab } from "../../../deploy/lab/lab.js";
import { machinePaths } from "../../../deploy/lab/paths.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";

const PORT = 5000;
const READY_TIMEOUT_MS = 15_000;
const PROBE_TIMEOUT_MS = 1_000;

/**
 * Starts an image registry on the server machine, so that Swarm can resolve an image's digest as usual. It exits with
 * the lab. Returns its `ADDRESS:PORT`.
 */
export async function startRegistry(lab: Lab, signal: AbortSignal): Promise<string> {
  const address = `${lab.serverMachine.address}:${PORT}`;
  const { dataDir } = machinePaths(lab.name, lab.serverMachine.name);
  const directory = join(dataDir, "registry");
  await mkdir(directory, { recursive: true });
  const config = {
    version: 0.1,
    storage: { filesystem: { rootdirectory: directory } },
    http: { addr: address },
  };
  const configFile = join(dataDir, "registry.json");
  await writeFile(configFile, JSON.stringify(config));
  const [program = "", ...args] = lab.serverMachine.commandInside(["docker-registry", "serve", configFile]);
  spawn(program, args, { detached: true, stdio: "ignore" })
    .on("error", () => undefined) // the wait below reports a failed start
    .unref();
  const answers = (): Promise<boolean> =>
    fetch(`http://${address}/v2/`, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) }).then(
      (response) => response.ok,
      () => false,
    );
  await waitUntil(answers, { what: `docker-registry at ${address}`, timeoutMs: READY_TIMEOUT_MS, signal });
  return address;
}

/** Pushes the image and pulls it onto every host, so that all know its digest and none pulls during a measurement. */
export async function publishImage(lab: Lab, image: string, signal: AbortSignal): Promise<void> {
  const [first, ...others] = lab.hosts;
  if (first === undefined) throw new RangeError("the lab has no hosts");
  await docker(first.dockerSocket, ["push", "--quiet", image], signal);
  await Promise.all(others.map((host) => docker(host.dockerSocket, ["pull", "--quiet", image], signal)));
}

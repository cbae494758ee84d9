import { execFile, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Runs a benchmark in its smallest size. Returns its exit code, and stdout followed by stderr. */
export function runSmoke(name: string): Promise<{ readonly code: number | string; readonly output: string }> {
  const main = fileURLToPath(new URL(`${name}/main.ts`, import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, ["--import", "tsx", main, "--smoke"], (error, stdout, stderr) => {
      resolve({ code: error?.code ?? (error === null ? 0 : 1), output: `${stdout}${stderr}` });
    });
  });
}

export function isInstalled(program: string): boolean {
  return spawnSync("which", [program]).status === 0;
}

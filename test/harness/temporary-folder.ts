import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PREFIX = "berth-test-of-";
const NAME = new RegExp(`^${PREFIX}(\\d+)-`);

/**
 * A new folder of this test process, named after it: whichever test comes next removes the folders of test processes
 * that were killed. An ingress process that one of them left behind ends when its folder is gone.
 */
export function temporaryFolder(): string {
  sweepLeftovers();
  return mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
}

function sweepLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    const owner = NAME.exec(name)?.[1];
    if (owner !== undefined && !isAlive(Number(owner))) {
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

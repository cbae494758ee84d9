import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import type { Lab } from "../../../deploy/lab/lab.js";
import { Lan } from "../../../deploy/lab/lan.js";
import { machinePaths } from "../../../deploy/lab/paths.js";
import { CHROMIUM, launchBrowser } from "../../browser/browser.js";
import { temporaryDirectory } from "../../harness/temporary-directory.js";

const MACHINE = "browser";
/** Last number of the browser's address. Hosts have lower ones. */
const LAST_NUMBER = "250";

/**
 * Launches a browser in a network namespace of its own, plugged in to the lab's LAN. Chromium aborts all its connections
 * when an address of its namespace changes, and in the root namespace other labs come and go.
 */
export async function launchLabBrowser(lab: Lab): Promise<Browser> {
  const { netns } = machinePaths(lab.name, MACHINE);
  const address = lab.serverMachine.address.replace(/\d+$/, LAST_NUMBER);
  await new Lan(lab.name).attach(MACHINE, netns, address);
  const command = join(temporaryDirectory(), "chromium");
  await writeFile(command, `#!/bin/sh\nexec nsenter --net=${netns} ${CHROMIUM} "$@"\n`);
  await chmod(command, 0o755);
  return launchBrowser(command);
}

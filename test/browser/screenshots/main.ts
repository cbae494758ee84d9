// `npm run screenshots`: writes screenshots of the web UI, of a simulated cluster or while the demo runs.
import { mkdir } from "node:fs/promises";
import { parseArgs } from "node:util";
import { scaleTimeout } from "../../../deploy/lab/wait-until.js";
import { launchBrowser } from "../browser.js";
import { photographFailover } from "./failover.js";
import { photographViews } from "./views.js";

const USAGE = `usage: npm run screenshots -- [DIRECTORY] [--failover LINK]

Writes a screenshot of each view of the web UI in both themes, with 1280 and 390 pixels, as VIEW-THEME-WIDTH.png to
DIRECTORY (default: build/screenshots).

  --failover LINK  open a link of npm run demo -- --web instead, and write failover-NUMBER.png before the power cut, when
                   the node is suspect, when it is down, when its tasks run elsewhere and when it is back
  -h, --help       print this help`;

const DEFAULT_DIRECTORY = "build/screenshots";
/** The demo starts the host again a few seconds after its tasks have moved. */
const FAILOVER_TIMEOUT_MS = scaleTimeout(180_000);

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { failover: { type: "string" }, help: { type: "boolean", short: "h" } },
  });
  const [directory = DEFAULT_DIRECTORY, ...others] = positionals;
  if (values.help || others.length > 0) {
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  await mkdir(directory, { recursive: true });
  const browser = await launchBrowser();
  const onWritten = (text: string): void => console.log(text);
  try {
    await (values.failover === undefined
      ? photographViews(browser, directory, onWritten)
      : photographFailover(browser, {
          link: values.failover,
          directory,
          timeoutMs: FAILOVER_TIMEOUT_MS,
          onWritten,
        }));
  } finally {
    await browser.close();
  }
  return 0;
}

process.exitCode = await main(process.argv.slice(2));

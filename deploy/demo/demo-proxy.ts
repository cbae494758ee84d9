import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { createInterface } from "node:readline";
import type { BaseLab } from "../lab/base-lab.js";
import { cliCommand } from "../lab/berth-commands.js";
import type { RequestOutcome } from "../lab/http-traffic.js";
import { summarizeTraffic } from "../lab/http-traffic.js";
import { LabError } from "../lab/lab-error.js";
import { REPO_ROOT } from "../lab/paths.js";
import type { TimelineEvent } from "./failover.js";
import { formatSeconds, timelineText } from "./report.js";

/** Path under which the web UI reads the requests and the timeline of the demo while it presents. */
const REQUESTS_PATH = "/requests.json";
/** Maximum time until `berth ui` prints its link. On a busy machine, the command takes seconds to start. */
const START_TIMEOUT_MS = 30_000;

/**
 * An HTTP proxy in front of `berth ui` that adds the requests and the timeline of the demo. The web UI can only read
 * files of its own origin.
 */
export class DemoProxy {
  readonly #ui: ChildProcess;
  readonly #server: Server;
  readonly #target: URL;
  readonly #outcomes: () => readonly RequestOutcome[];
  readonly #timeline: { readonly time: string; readonly text: string }[] = [];
  #onOpened: () => void = () => {};
  /** Resolves when a browser shows the presentation. */
  readonly opened = new Promise<void>((resolve) => {
    this.#onOpened = resolve;
  });

  private constructor(ui: ChildProcess, link: string, outcomes: () => readonly RequestOutcome[]) {
    this.#ui = ui;
    this.#target = new URL(link);
    this.#outcomes = outcomes;
    this.#server = createServer((incoming, response) => this.#answer(incoming, response));
  }

  /**
   * Starts `berth ui` and the proxy.
   *
   * @param outcomes returns the requests that the demo has sent so far
   * @throws LabError LAB_COMMAND_FAILED if `berth ui` prints no link
   */
  static async start(
    lab: Pick<BaseLab, "cliEnv">,
    outcomes: () => readonly RequestOutcome[],
  ): Promise<DemoProxy> {
    const [program = "", ...args] = cliCommand(["ui", "-o", "json"]);
    const ui = spawn(program, args, {
      cwd: REPO_ROOT,
      env: lab.cliEnv(),
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const proxy = new DemoProxy(ui, await readLink(ui), outcomes);
      proxy.#server.listen(0, "127.0.0.1");
      await once(proxy.#server, "listening");
      return proxy;
    } catch (error) {
      ui.kill();
      throw error;
    }
  }

  /** The link to the presentation. It logs a browser in once. */
  get link(): string {
    const address = this.#server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    return `http://127.0.0.1:${port}/${this.#target.hash}&view=present`;
  }

  /** Shows an event of the demo. `sinceCutMs` is undefined if the event did not happen before the timeout. */
  addEvent(event: TimelineEvent, sinceCutMs: number | undefined): void {
    const happened = sinceCutMs !== undefined;
    const time = happened ? formatSeconds(sinceCutMs) : "";
    this.#timeline.push({ time, text: timelineText(event, happened) });
  }

  close(): void {
    this.#ui.kill();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #answer(incoming: IncomingMessage, response: ServerResponse): void {
    if (incoming.url === REQUESTS_PATH) {
      this.#onOpened();
      const { sent, failed, medianMs } = summarizeTraffic(this.#outcomes());
      response.writeHead(200, { "content-type": "application/json", "cache-control": "no-store" });
      response.end(JSON.stringify({ sent, failed, medianMs, timeline: this.#timeline }));
      return;
    }
    this.#forward(incoming, response);
  }

  /** Passes a request to `berth ui`, which requires its own address as the host and the origin. */
  #forward(incoming: IncomingMessage, response: ServerResponse): void {
    const { host, hostname, port, origin } = this.#target;
    const headers = { ...incoming.headers, host };
    if (headers.origin !== undefined) headers.origin = origin;
    const forwarded = request(
      { hostname, port, method: incoming.method, path: incoming.url, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    forwarded.on("error", () => response.destroy());
    response.on("close", () => forwarded.destroy());
    incoming.pipe(forwarded);
  }
}

/**
 * Returns the link that `berth ui` prints.
 *
 * @throws LabError LAB_COMMAND_FAILED if it cannot be started, or exits without a link
 */
async function readLink(ui: ChildProcess): Promise<string> {
  let startError: Error | undefined;
  ui.on("error", (error) => {
    startError = error;
  });
  if (ui.stdout === null) throw new LabError("LAB_COMMAND_FAILED", "berth ui has no output");
  const timer = setTimeout(() => ui.kill(), START_TIMEOUT_MS);
  let text = "";
  try {
    for await (const line of createInterface({ input: ui.stdout })) {
      text += line;
      const link = /"link":\s*"([^"]+)"/.exec(text)?.[1];
      if (link !== undefined) return link;
    }
  } finally {
    clearTimeout(timer);
  }
  const reason =
    startError === undefined ? "it exited without a link; see its output above" : startError.message;
  throw new LabError("LAB_COMMAND_FAILED", `cannot start berth ui: ${reason}`);
}

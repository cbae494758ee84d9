import { execFile } from "node:child_process";

/** Number of reports per watchdog interval, which allows for one that is late or lost. */
const REPORTS_PER_INTERVAL = 3;
const US_PER_MS = 1_000;
/** Timeout of systemd-notify, which waits until systemd has processed its message. This takes milliseconds. */
const NOTIFY_TIMEOUT_MS = 5_000;

/** Reports the state of this process to systemd, as sd_notify(3) does. Does nothing unless systemd started the process. */
export interface ServiceManager {
  /** Reports that the service is ready. Also starts to report to the watchdog, if the unit has one. */
  ready(): Promise<void>;
  /** Reports that the service is stopping, and ends the reports to the watchdog. */
  stopping(): Promise<void>;
  /**
   * Makes another process the main process of the unit, and ends the reports to the watchdog, which the other process
   * sends from now on. Resolves when systemd knows, so that this process can exit without stopping the unit.
   */
  replaceMainProcess(processId: number): Promise<void>;
}

export interface ServiceManagerOptions {
  readonly env: Readonly<NodeJS.ProcessEnv>;
  /** Called when systemd-notify fails. The watchdog then ends this process in time. */
  readonly onFailure: (error: Error) => void;
  /** @default runs systemd-notify */
  readonly notify?: (assignments: readonly string[]) => Promise<void>;
}

/**
 * Returns the connection to the service manager that started this process.
 *
 * Node.js has no Unix datagram sockets, so each report runs systemd-notify. Units therefore need `NotifyAccess=all`.
 */
export function serviceManager({ env, onFailure, notify }: ServiceManagerOptions): ServiceManager {
  const { NOTIFY_SOCKET: socket = "", WATCHDOG_USEC: watchdogUs } = env;
  if (socket === "") return NO_SERVICE_MANAGER;
  return new Systemd({
    notify: notify ?? ((assignments) => runSystemdNotify(assignments, env)),
    onFailure,
    watchdogMs: watchdogInterval(watchdogUs),
  });
}

const NO_SERVICE_MANAGER: ServiceManager = {
  ready: async () => {},
  stopping: async () => {},
  replaceMainProcess: async () => {},
};

/** Returns the interval in which the watchdog expects a report, or undefined without a watchdog. */
function watchdogInterval(microseconds: string | undefined): number | undefined {
  return microseconds !== undefined && /^[1-9]\d{0,15}$/.test(microseconds)
    ? Number(microseconds) / US_PER_MS
    : undefined;
}

interface SystemdOptions extends Required<Pick<ServiceManagerOptions, "notify" | "onFailure">> {
  readonly watchdogMs: number | undefined;
}

class Systemd implements ServiceManager {
  readonly #options: SystemdOptions;
  #watchdog: NodeJS.Timeout | undefined;

  constructor(options: SystemdOptions) {
    this.#options = options;
  }

  async ready(): Promise<void> {
    const { watchdogMs } = this.#options;
    if (watchdogMs !== undefined && this.#watchdog === undefined) {
      // The timer of a stopped process, or of one whose event loop is blocked, does not run.
      const report = (): void => void this.#notify("WATCHDOG=1");
      this.#watchdog = setInterval(report, watchdogMs / REPORTS_PER_INTERVAL).unref();
    }
    await this.#notify("READY=1");
  }

  async stopping(): Promise<void> {
    clearInterval(this.#watchdog);
    await this.#notify("STOPPING=1");
  }

  async replaceMainProcess(processId: number): Promise<void> {
    clearInterval(this.#watchdog);
    await this.#notify(`MAINPID=${processId}`, "WATCHDOG=1");
  }

  async #notify(...assignments: readonly string[]): Promise<void> {
    try {
      await this.#options.notify(assignments);
    } catch (error) {
      this.#options.onFailure(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

function runSystemdNotify(assignments: readonly string[], env: Readonly<NodeJS.ProcessEnv>): Promise<void> {
  const options = { env: { PATH: env.PATH, NOTIFY_SOCKET: env.NOTIFY_SOCKET }, timeout: NOTIFY_TIMEOUT_MS };
  return new Promise((resolve, reject) => {
    execFile("systemd-notify", [...assignments], options, (error) => {
      if (error === null) {
        resolve();
      } else {
        reject(error);
      }
    });
  });
}

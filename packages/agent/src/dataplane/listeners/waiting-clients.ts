import type { WaitingClients, WaitingService } from "@berth/proto";
import type { HeldCounts } from "./hold-queue.js";

/** Delay between a change and its report. Clients may begin and cease to wait thousands of times a second. */
const REPORT_EVERY_MS = 100;
/** Maximum number of services in a report. The services that come last in the tables are left out. */
const MAX_SERVICES = 1_000;

/** The held clients of one published port or virtual IP. */
export interface HeldClients extends HeldCounts {
  /** Full name. */
  readonly service: string;
}

/** Reports the services whose clients wait for a task: when a client begins or ceases to wait, at a limited rate. */
export class WaitingClientsReporter {
  readonly #collect: () => Iterable<HeldClients>;
  /** Called with each report. */
  onReport: (report: WaitingClients) => void = () => {};
  /** Services with waiting clients in the last report. */
  #waiting: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;

  constructor(collect: () => Iterable<HeldClients>) {
    this.#collect = collect;
  }

  /** Called when a client begins or ceases to wait. */
  onChange(): void {
    this.#timer ??= setTimeout(() => this.#report(), REPORT_EVERY_MS);
  }

  /** Returns the services with waiting clients. */
  current(): WaitingClients {
    return { services: sumServices(this.#collect()).filter(({ waiting }) => waiting > 0) };
  }

  #report(): void {
    this.#timer = undefined;
    const services = sumServices(this.#collect());
    const waiting = services.filter(({ waiting }) => waiting > 0);
    const ended = services.filter(
      ({ serviceName, waiting }) => waiting === 0 && this.#waiting.has(serviceName),
    );
    this.#waiting = new Set(waiting.map(({ serviceName }) => serviceName));
    if (waiting.length + ended.length > 0) {
      this.onReport({ services: [...waiting, ...ended].slice(0, MAX_SERVICES) });
    }
  }
}

/** Adds up the clients of all ports and virtual IPs of each service. */
function sumServices(clients: Iterable<HeldClients>): readonly WaitingService[] {
  const services = new Map<string, WaitingService>();
  for (const { service, held, heldTotal, heldRefused } of clients) {
    if (heldTotal === 0) continue;
    const { waiting, total, refused } = services.get(service) ?? { waiting: 0, total: 0, refused: 0 };
    services.set(service, {
      serviceName: service,
      waiting: waiting + held,
      total: total + heldTotal,
      refused: refused + heldRefused,
    });
  }
  return [...services.values()];
}

import type { ServerResponse } from "node:http";

/** A failure of one request. */
export type Fault =
  /** Never responds. */
  | { readonly kind: "hang" }
  /** Sends the head and a part of the body, then stalls with the connection open. */
  | { readonly kind: "stall-mid-body"; readonly body: string }
  /** Sends the head and a part of the body, then closes the connection. */
  | { readonly kind: "die-mid-body"; readonly body: string }
  /** Closes the connection without a response. */
  | { readonly kind: "break" }
  /** Serves the request but closes the connection instead of responding. */
  | { readonly kind: "lose-answer" }
  | { readonly kind: "status"; readonly status: number; readonly message: string };

interface PlannedFault {
  readonly method: string;
  readonly path: RegExp;
  readonly fault: Fault;
  times: number;
}

/** Planned faults. Each applies to a number of matching requests. */
export class Faults {
  readonly #plans: PlannedFault[] = [];

  add(method: string, path: RegExp, fault: Fault, times = 1): void {
    this.#plans.push({ method, path, fault, times });
  }

  clear(): void {
    this.#plans.length = 0;
  }

  take(method: string, path: string): Fault | undefined {
    const plan = this.#plans.find((one) => one.times > 0 && one.method === method && one.path.test(path));
    if (plan === undefined) return undefined;
    plan.times -= 1;
    return plan.fault;
  }
}

/** Injects a fault into a response. Returns false when the request must still be served. */
export function injectFault(fault: Fault, response: ServerResponse): boolean {
  switch (fault.kind) {
    case "hang":
      return true;
    case "stall-mid-body":
    case "die-mid-body":
      response.writeHead(200, { "Content-Type": "application/json", "Content-Length": "100000" });
      response.write(fault.body);
      if (fault.kind === "die-mid-body") setTimeout(() => response.destroy(), 20);
      return true;
    case "break":
      response.destroy();
      return true;
    case "status":
      response.writeHead(fault.status, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ message: fault.message }));
      return true;
    case "lose-answer":
      return false;
  }
}

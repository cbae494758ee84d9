import type { ServerResponse } from "node:http";

/** What goes wrong with a request. */
export type Fault =
  /** No answer, ever. */
  | { readonly kind: "hang" }
  /** The head and a part of the body; then nothing, with the connection left open. */
  | { readonly kind: "stall-mid-body"; readonly body: string }
  /** The head and a part of the body; then the connection breaks. */
  | { readonly kind: "die-mid-body"; readonly body: string }
  | { readonly kind: "break" }
  /** Done, but the answer is lost. */
  | { readonly kind: "lose-answer" }
  | { readonly kind: "status"; readonly status: number; readonly message: string };

interface Plan {
  readonly method: string;
  readonly path: RegExp;
  readonly fault: Fault;
  times: number;
}

/** Faults to come: each matches some requests a number of times. */
export class Faults {
  readonly #plans: Plan[] = [];

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

/** Plays the fault; false: the request is to be served, although its answer will not arrive. */
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

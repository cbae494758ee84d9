import type { Logger } from "pino";
import { failureOf, runProgram } from "../../runtime/run-program.js";
import { BALANCED_MARK } from "./marks.js";

/** Docker asks this chain before all of its own, and never empties it. */
const CHAIN = "DOCKER-USER";
const RULE = ["-m", "connmark", "--mark", `${BALANCED_MARK}/${BALANCED_MARK}`, "-j", "ACCEPT"] as const;
/**
 * Whenever Docker starts or makes a network, it takes its jump to that chain away, and puts it on top again. What comes
 * meanwhile falls through to Docker's policy, which is to drop: before that, ours is the last word.
 */
const FALLBACK_CHAIN = "FORWARD";

/**
 * Docker drops what is forwarded to containers past its own ports, and everything that it does not know: balanced
 * connections are let through first. Without Docker's chain there is nobody to let them through.
 * @returns what went wrong, for a person; undefined: nothing
 */
export async function allowForwarding(signal: AbortSignal): Promise<string | undefined> {
  if ((await iptables(signal, "-n", "-L", CHAIN)) !== undefined) return undefined;
  return (await ensure(signal, "-I", CHAIN)) ?? (await ensure(signal, "-A", FALLBACK_CHAIN));
}

/** Sees to it that balanced connections are let through. */
export class ForwardingPermission {
  readonly #log: Pick<Logger, "warn">;
  readonly #signal: AbortSignal;
  #work: Promise<void> | undefined;
  #isDue = false;
  #isClosed = false;

  constructor(log: Pick<Logger, "warn">, signal: AbortSignal) {
    this.#log = log;
    this.#signal = signal;
  }

  /** Somebody may have changed the host's rules. One look at a time: two that find nothing would both add it. */
  check(): void {
    this.#isDue = true;
    this.#work ??= this.#workOff().finally(() => {
      this.#work = undefined;
    });
  }

  /** Resolves when nothing is under way any more that could give the permission again. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#work;
  }

  async #workOff(): Promise<void> {
    while (this.#isDue && !this.#isClosed) {
      this.#isDue = false;
      const problem = await allowForwarding(this.#signal);
      if (problem !== undefined && !this.#isClosed)
        this.#log.warn({ problem }, "cannot let balanced connections through");
    }
  }
}

/** Takes the permission back. */
export async function disallowForwarding(signal: AbortSignal): Promise<void> {
  for (const chain of [CHAIN, FALLBACK_CHAIN]) await iptables(signal, "-D", chain, ...RULE);
}

/** @returns why it is not there; undefined: it is */
async function ensure(signal: AbortSignal, how: "-I" | "-A", chain: string): Promise<string | undefined> {
  if ((await iptables(signal, "-C", chain, ...RULE)) === undefined) return undefined;
  return iptables(signal, how, chain, ...RULE);
}

async function iptables(signal: AbortSignal, ...args: readonly string[]): Promise<string | undefined> {
  return failureOf("iptables", await runProgram("iptables", { args: ["-w", "2", ...args], signal }));
}

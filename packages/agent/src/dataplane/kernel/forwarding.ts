import type { Logger } from "pino";
import { failureOf, runProgram } from "../../runtime/run-program.js";
import { BALANCED_MARK } from "./service-chain.js";

/** Docker evaluates this chain before its own chains and never flushes it. */
const USER_CHAIN = "DOCKER-USER";
/**
 * When Docker starts or creates a network, it removes the jump to its user chain and inserts it again. Packets that
 * arrive in between fall through to Docker's policy, which is DROP. A rule at the end of this chain accepts them.
 */
const FALLBACK_CHAIN = "FORWARD";
const RULE = ["-m", "connmark", "--mark", `${BALANCED_MARK}/${BALANCED_MARK}`, "-j", "ACCEPT"] as const;

/** Keeps the iptables rules in place that accept forwarded packets of connections which the kernel path balances. */
export class ForwardingRules {
  readonly #log: Pick<Logger, "warn">;
  readonly #signal: AbortSignal;
  #restoring: Promise<void> | undefined;
  #isRestoreDue = false;
  #isClosed = false;

  constructor(log: Pick<Logger, "warn">, signal: AbortSignal) {
    this.#log = log;
    this.#signal = signal;
  }

  /** Restores missing rules in the background. Calls do not overlap, because two would add each rule twice. */
  restore(): void {
    this.#isRestoreDue = true;
    this.#restoring ??= this.#restoreWhileDue().finally(() => {
      this.#restoring = undefined;
    });
  }

  /** Stops. Resolves when no iptables runs any more. The rules stay. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#restoring;
  }

  async #restoreWhileDue(): Promise<void> {
    while (this.#isRestoreDue && !this.#isClosed) {
      this.#isRestoreDue = false;
      const reason = await acceptForwarding(this.#signal);
      if (reason !== undefined && !this.#isClosed) {
        this.#log.warn({ reason }, "cannot add the iptables rules that accept balanced connections");
      }
    }
  }
}

/** Removes the rules that {@link ForwardingRules} adds. */
export async function removeForwardingRules(signal: AbortSignal): Promise<void> {
  for (const chain of [USER_CHAIN, FALLBACK_CHAIN]) await iptables(signal, "-D", chain, ...RULE);
}

/**
 * Adds the iptables rules that accept forwarded packets of balanced connections. Docker drops forwarded
 * packets that bypass its own published ports. Adds nothing without Docker's user chain. Returns the reason of a failure, else undefined.
 */
async function acceptForwarding(signal: AbortSignal): Promise<string | undefined> {
  if ((await iptables(signal, "-n", "-L", USER_CHAIN)) !== undefined) return undefined;
  return (await ensureRule(signal, "-I", USER_CHAIN)) ?? (await ensureRule(signal, "-A", FALLBACK_CHAIN));
}

/** Adds a rule if it is missing. Returns the reason of a failure, else undefined. */
async function ensureRule(
  signal: AbortSignal,
  position: "-I" | "-A",
  chain: string,
): Promise<string | undefined> {
  if ((await iptables(signal, "-C", chain, ...RULE)) === undefined) return undefined;
  return iptables(signal, position, chain, ...RULE);
}

/** Runs iptables. Returns the reason of a failure, else undefined. */
async function iptables(signal: AbortSignal, ...args: readonly string[]): Promise<string | undefined> {
  return failureOf("iptables", await runProgram("iptables", { args: ["-w", "2", ...args], signal }));
}

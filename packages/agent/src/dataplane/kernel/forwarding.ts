import type { Logger } from "pino";
import { failureOf, type ProgramResult, type RunProgram, runProgram } from "../../runtime/run-program.js";
import { BALANCED_MARK } from "./service-chain.js";

/** Docker's chain for user-defined rules. Docker evaluates the chain before its own chains and never flushes it. */
const USER_CHAIN = "DOCKER-USER";
/**
 * The chain for a second rule. When Docker starts or creates a network, it removes the jump to its user chain and
 * inserts it again. Packets that arrive in between fall through to Docker's policy, which is DROP, unless a rule at the
 * end of this chain accepts them.
 */
const FALLBACK_CHAIN = "FORWARD";
const ACCEPT_RULE = [
  "-m",
  "connmark",
  "--mark",
  `${BALANCED_MARK}/${BALANCED_MARK}`,
  "-j",
  "ACCEPT",
] as const;

/** Maintains the iptables rules that accept forwarded packets of connections that the kernel balances. */
export class ForwardingRules {
  readonly #log: Pick<Logger, "warn">;
  readonly #signal: AbortSignal;
  readonly #run: RunProgram;
  #restoring: Promise<void> | undefined;
  #isRestoreDue = false;
  #isClosed = false;

  constructor(log: Pick<Logger, "warn">, signal: AbortSignal, run: RunProgram = runProgram) {
    this.#log = log;
    this.#signal = signal;
    this.#run = run;
  }

  /**
   * Restores missing rules. Resolves when they are in place, or when iptables has failed, which is logged. Concurrent
   * calls share one run, because two would add each rule twice.
   */
  restore(): Promise<void> {
    this.#isRestoreDue = true;
    this.#restoring ??= this.#restoreWhileDue().finally(() => {
      this.#restoring = undefined;
    });
    return this.#restoring;
  }

  /** Stops restoring rules and waits for a running iptables process to exit. Leaves the rules in place. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#restoring;
  }

  async #restoreWhileDue(): Promise<void> {
    while (this.#isRestoreDue && !this.#isClosed) {
      this.#isRestoreDue = false;
      const reason = await acceptForwarding(this.#run, this.#signal);
      if (reason !== undefined && !this.#isClosed) {
        this.#log.warn({ reason }, "cannot add the iptables rules that accept balanced connections");
      }
    }
  }
}

/** Removes the rules that {@link ForwardingRules} adds. Ignores failures: a rule or its chain may be missing. */
export async function removeForwardingRules(signal: AbortSignal): Promise<void> {
  for (const chain of [USER_CHAIN, FALLBACK_CHAIN]) {
    await iptables(runProgram, signal, "-D", chain, ...ACCEPT_RULE);
  }
}

/**
 * Adds the iptables rules that accept forwarded packets of balanced connections. Docker drops forwarded packets that
 * bypass its own published ports. Adds nothing without Docker's user chain. Returns why it failed, or undefined on
 * success.
 */
async function acceptForwarding(run: RunProgram, signal: AbortSignal): Promise<string | undefined> {
  const userChain = await iptables(run, signal, "-n", "-L", USER_CHAIN);
  if (userChain.kind === "missing" || isAbsent(userChain)) return undefined;
  if (userChain.kind === "failed") return userChain.reason;
  return (
    (await ensureRule(run, signal, "-I", USER_CHAIN)) ?? (await ensureRule(run, signal, "-A", FALLBACK_CHAIN))
  );
}

/** Adds a rule if it is missing. Returns why it failed, or undefined on success. */
async function ensureRule(
  run: RunProgram,
  signal: AbortSignal,
  position: "-I" | "-A",
  chain: string,
): Promise<string | undefined> {
  const present = await iptables(run, signal, "-C", chain, ...ACCEPT_RULE);
  // After another failure, the rule may be present. Adding it would duplicate it.
  if (!isAbsent(present)) return failureOf("iptables", present);
  return failureOf("iptables", await iptables(run, signal, position, chain, ...ACCEPT_RULE));
}

/**
 * Returns whether iptables did not find the chain or the rule. Other failures, such as a held lock, have other codes.
 */
function isAbsent(result: ProgramResult): boolean {
  return result.kind === "failed" && result.exitCode === 1;
}

function iptables(run: RunProgram, signal: AbortSignal, ...args: readonly string[]): Promise<ProgramResult> {
  return run("iptables", { args: ["-w", "2", ...args], signal });
}

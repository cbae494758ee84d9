import { type RunProgram, runProgram } from "../../runtime/run-program.js";
import { DNS_PORT } from "./trouble.js";

/** The bridges of networks that span hosts; "+" is any ending. */
const BRIDGES = "bth+";
const RULES = ["udp", "tcp"].map(
  (protocol) => ["-i", BRIDGES, "-p", protocol, "--dport", String(DNS_PORT), "-j", "ACCEPT"] as const,
);
/** Firewalls are set anew at any time. */
const CHECK_MS = 30_000;

/**
 * Lets containers ask this host for names where its firewall lets nothing in that nobody allowed (ufw, as the usual
 * one). Where nothing is in the way, or there is no iptables, nothing is done; `berth doctor` asks from a container.
 */
export class DnsFirewallRules {
  readonly #run: RunProgram;
  readonly #stopping = new AbortController();
  #isWanted = false;
  #work: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(run: RunProgram = runProgram) {
    this.#run = run;
  }

  /** To be called at each change; resolves when it is as far open as it can be. Never rejects. */
  open(isWanted: boolean): Promise<void> {
    if (isWanted === this.#isWanted) return this.#work;
    this.#isWanted = isWanted;
    return this.#applyNext();
  }

  /** @param isLast nobody takes over: what was allowed is allowed no longer. */
  async close({ isLast }: { readonly isLast: boolean }): Promise<void> {
    if (isLast) await this.open(false);
    clearTimeout(this.#timer);
    await this.#work;
    clearTimeout(this.#timer);
    this.#stopping.abort();
  }

  #applyNext(): Promise<void> {
    clearTimeout(this.#timer);
    this.#work = this.#work.then(() => this.#apply().catch(() => {}));
    return this.#work;
  }

  async #apply(): Promise<void> {
    const rules = await this.#iptables("-S", "INPUT");
    const missing = rules === undefined ? [] : RULES.filter((rule) => !hasRule(rules, rule));
    if (this.#isWanted && rules !== undefined && isGuarded(rules)) {
      for (const rule of missing) await this.#iptables("-I", "INPUT", "1", ...rule);
    } else if (!this.#isWanted && rules !== undefined) {
      for (const rule of RULES) if (!missing.includes(rule)) await this.#iptables("-D", "INPUT", ...rule);
    }
    if (!this.#isWanted || this.#stopping.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#applyNext(), CHECK_MS);
    this.#timer.unref();
  }

  /** What it printed; undefined: it could not. */
  async #iptables(...args: readonly string[]): Promise<string | undefined> {
    const options = { args: ["-w", "2", ...args], signal: this.#stopping.signal };
    const result = await this.#run("iptables", options);
    return result.kind === "done" ? result.stdout : undefined;
  }
}

/** Whether something may be turned away: by the policy, or by rules other than ours. */
export function isGuarded(rules: string): boolean {
  const lines = rules.split("\n").filter((line) => line !== "" && !isOurs(line));
  return lines.some((line) => line !== "-P INPUT ACCEPT");
}

const isOurs = (line: string): boolean => RULES.some((rule) => hasRule(line, rule));

/** As `iptables -S` shows it: with the protocol's own match. */
function hasRule(rules: string, [, bridges, , protocol, , port]: readonly string[]): boolean {
  const shown = `-A INPUT -i ${bridges} -p ${protocol} -m ${protocol} --dport ${port} -j ACCEPT`;
  return rules.split("\n").includes(shown);
}

import { type RunProgram, runProgram } from "../../runtime/run-program.js";
import { DNS_PORT } from "./dns-server.js";

/** The bridges of berth's networks; "+" matches any suffix. */
const BRIDGE_PATTERN = "bth+";
const ACCEPT_RULES = ["udp", "tcp"].map(
  (protocol) => ["-i", BRIDGE_PATTERN, "-p", protocol, "--dport", String(DNS_PORT), "-j", "ACCEPT"] as const,
);
/** How often the rules are checked: a firewall may be reloaded at any time. */
const CHECK_MS = 30_000;

/**
 * Accepts DNS queries of containers in the host's iptables INPUT chain. Adds rules only where the chain may reject
 * packets, as with ufw. Does nothing without iptables; `berth doctor` checks whether a container can send queries.
 */
export class DnsFirewallRules {
  readonly #run: RunProgram;
  readonly #stopped = new AbortController();
  #isEnabled = false;
  #work: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(run: RunProgram = runProgram) {
    this.#run = run;
  }

  /**
   * Adds the rules, or removes them when `isEnabled` is false. Resolves when that is done or has failed. Never rejects.
   */
  setEnabled(isEnabled: boolean): Promise<void> {
    if (isEnabled === this.#isEnabled) return this.#work;
    this.#isEnabled = isEnabled;
    return this.#scheduleApply();
  }

  /**
   * Stops.
   *
   * @param isLast whether no successor takes over: then the rules are removed
   */
  async close({ isLast }: { readonly isLast: boolean }): Promise<void> {
    if (isLast) await this.setEnabled(false);
    clearTimeout(this.#timer);
    await this.#work;
    clearTimeout(this.#timer);
    this.#stopped.abort();
  }

  #scheduleApply(): Promise<void> {
    clearTimeout(this.#timer);
    this.#work = this.#work.then(() => this.#apply().catch(() => {}));
    return this.#work;
  }

  async #apply(): Promise<void> {
    const listed = await this.#iptables("-S", "INPUT");
    if (listed !== undefined) {
      if (!this.#isEnabled) await this.#removeRules(listed);
      else if (mayReject(listed)) await this.#addRules(listed);
    }
    if (!this.#isEnabled || this.#stopped.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#scheduleApply(), CHECK_MS);
    this.#timer.unref();
  }

  async #addRules(listed: string): Promise<void> {
    for (const rule of ACCEPT_RULES) {
      if (!hasRule(listed, rule)) await this.#iptables("-I", "INPUT", "1", ...rule);
    }
  }

  async #removeRules(listed: string): Promise<void> {
    for (const rule of ACCEPT_RULES) if (hasRule(listed, rule)) await this.#iptables("-D", "INPUT", ...rule);
  }

  /** Returns the output, or undefined if iptables fails. */
  async #iptables(...args: readonly string[]): Promise<string | undefined> {
    const options = { args: ["-w", "2", ...args], signal: this.#stopped.signal };
    const result = await this.#run("iptables", options);
    return result.kind === "done" ? result.stdout : undefined;
  }
}

/** Returns whether the INPUT chain may reject packets: by its policy, or by rules other than berth's. */
export function mayReject(listed: string): boolean {
  const others = listed
    .split("\n")
    .filter((line) => line !== "" && !ACCEPT_RULES.some((rule) => hasRule(line, rule)));
  return others.some((line) => line !== "-P INPUT ACCEPT");
}

/** Returns whether the output of `iptables -S` contains the rule. iptables adds `-m PROTOCOL` to the rule as given. */
function hasRule(listed: string, [, bridges, , protocol, , port]: readonly string[]): boolean {
  const listedRule = `-A INPUT -i ${bridges} -p ${protocol} -m ${protocol} --dport ${port} -j ACCEPT`;
  return listed.split("\n").includes(listedRule);
}

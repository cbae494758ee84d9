import { type ChildProcess, spawn } from "node:child_process";
import { TABLE } from "./skeleton.js";
import { restartDelay } from "./table-watch.js";

/** One per process, as two are there for a moment when one hands over to the next. */
const HOOKS = `${TABLE}-hooks-${process.pid}`;
const CHAINS = {
  prerouting: -109,
  output: -109,
  input: 91,
  postrouting: 91,
} as const;

/** The kernel follows connections only where a rule asks for what it knows of them: one does, and changes nothing. */
const SCRIPT = [
  `add table ip ${HOOKS} { flags owner; }`,
  ...Object.entries(CHAINS).map(
    ([hook, priority]) => `add chain ip ${HOOKS} ${hook} { type nat hook ${hook} priority ${priority}; }`,
  ),
  `add rule ip ${HOOKS} prerouting ct state new accept`,
  "",
].join("\n");

/**
 * The kernel follows connections, and translates their addresses, only while any table has chains for it. When
 * somebody flushes all rules, packets of balanced connections would be taken for this host's own until ours are back,
 * and answered with resets. An owned table (Linux since 5.12) is not flushed: it goes with the `nft` that made it, which
 * therefore stays, and ends with us. Where the kernel knows no owners there is none, and that is all.
 */
export class NatHooks {
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #restartMs = 0;
  #isClosed = false;

  constructor() {
    this.#start();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#restart);
    this.#child?.kill("SIGKILL");
  }

  #start(): void {
    const startedMs = performance.now();
    const child = spawn("nft", ["--interactive"], { stdio: ["pipe", "ignore", "ignore"] });
    this.#child = child;
    child.on("error", () => {});
    child.stdin.on("error", () => {});
    child.stdin.write(SCRIPT);
    child.on("close", () => {
      if (this.#isClosed) return;
      this.#restartMs = restartDelay(this.#restartMs, performance.now() - startedMs);
      this.#restart = setTimeout(() => this.#start(), this.#restartMs);
    });
  }
}

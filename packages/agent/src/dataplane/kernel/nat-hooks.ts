import { TABLE } from "./base-ruleset.js";
import { SupervisedProcess } from "./supervised-process.js";

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
  readonly #program = new SupervisedProcess({
    command: () => ["nft", "--interactive"],
    stdio: ["pipe", "ignore", "ignore"],
    onStarted: ({ stdin }) => void stdin?.write(SCRIPT),
  });

  close(): void {
    this.#program.close();
  }
}

import { TABLE } from "./base-ruleset.js";
import { SupervisedProcess } from "./supervised-process.js";

/** Named after the process, because two ingress processes run during a handover. */
const HOOKS_TABLE = `${TABLE}-hooks-${process.pid}`;
const CHAIN_PRIORITIES = {
  prerouting: -109,
  output: -109,
  input: 91,
  postrouting: 91,
} as const;

/** One rule uses conntrack, which makes the kernel track connections. It changes no packet. */
const NAT_HOOK_SCRIPT = [
  `add table ip ${HOOKS_TABLE} { flags owner; }`,
  ...Object.entries(CHAIN_PRIORITIES).map(
    ([hook, priority]) =>
      `add chain ip ${HOOKS_TABLE} ${hook} { type nat hook ${hook} priority ${priority}; }`,
  ),
  `add rule ip ${HOOKS_TABLE} prerouting ct state new accept`,
  "",
].join("\n");

/**
 * Keeps conntrack and NAT active while all nftables rules are flushed.
 *
 * The kernel tracks and translates connections only while a table has chains for it. After `nft flush ruleset`, it
 * would treat packets of translated connections as its own and reset them: those that the kernel path balances, until
 * berth has reloaded its table, and those of the user-space proxy, which Docker translates. A table with an owner (Linux
 * 5.12) is not flushed. It exists as long as the `nft` process that created it, which therefore keeps running. Older
 * kernels reject the table and have no protection.
 */
export class NatHooks {
  readonly #nft = new SupervisedProcess({
    command: () => ["nft", "--interactive"],
    stdio: ["pipe", "ignore", "ignore"],
    onStarted: ({ stdin }) => void stdin?.write(NAT_HOOK_SCRIPT),
  });

  close(): void {
    this.#nft.close();
  }
}

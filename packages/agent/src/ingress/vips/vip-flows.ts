import type { Vip } from "./vip-script.js";

/** Connections to a virtual IP that the kernel has to forget, by the task that they go to. */
export interface GoneFlows {
  readonly vip: string;
  readonly task: string;
  /** Flows of datagrams alone: what is connected lives on. */
  readonly isUdpOnly: boolean;
}

/**
 * What follows from a change of the table. The next packet of a forgotten connection goes to another task, which does
 * not know it and resets it: that is how a client learns of a dead host. A draining task keeps its connections; flows
 * of datagrams just go on with another task.
 */
export function goneFlows(before: readonly Vip[], now: readonly Vip[]): readonly GoneFlows[] {
  const current = new Map(now.map((vip) => [vip.address, vip]));
  return before.flatMap(({ address, tasks, kept }) => {
    const left = current.get(address);
    const [serving, known] = [new Set(left?.tasks), new Set([...(left?.tasks ?? []), ...(left?.kept ?? [])])];
    return [...new Set([...tasks, ...kept])]
      .filter((task) => !serving.has(task))
      .map((task) => ({ vip: address, task, isUdpOnly: known.has(task) }));
  });
}

/** Words for `conntrack`, which fails when there are none to forget. */
export function forgetting({ vip, task, isUdpOnly }: GoneFlows): readonly string[] {
  const flows = ["--orig-dst", vip, "--reply-src", task];
  return ["-D", "-f", "ipv4", ...(isUdpOnly ? ["-p", "udp"] : []), ...flows];
}

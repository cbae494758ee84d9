import { sameVip, type Vip, type Vips } from "./vip.js";

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
export function goneFlows(before: Vips, now: Vips): readonly GoneFlows[] {
  const gone: GoneFlows[] = [];
  for (const vip of before.values()) {
    const left = now.get(vip.address);
    if (!sameVip(vip, left)) gone.push(...goneFlowsOf(vip, left));
  }
  return gone;
}

function goneFlowsOf({ address, tasks, draining }: Vip, left: Vip | undefined): readonly GoneFlows[] {
  const serving = new Set(left?.tasks);
  const known = new Set([...(left?.tasks ?? []), ...(left?.draining ?? [])]);
  return [...new Set([...tasks, ...draining])]
    .filter((task) => !serving.has(task))
    .map((task) => ({ vip: address, task, isUdpOnly: known.has(task) }));
}

/** Words for `conntrack`, which fails when there are none to forget. */
export function forgetting({ vip, task, isUdpOnly }: GoneFlows): readonly string[] {
  const flows = ["--orig-dst", vip, "--reply-src", task];
  return ["-D", "-f", "ipv4", ...(isUdpOnly ? ["-p", "udp"] : []), ...flows];
}

import type { EtcdClient } from "./client.js";

/**
 * Gives the lead of etcd's cluster to the first member, if another one has it. Nothing is written for the few
 * milliseconds that this takes; what is asked in them may get no answer.
 * @returns whether it had to be moved
 * @throws BerthError BERTH_ETCD_UNAVAILABLE or BERTH_ETCD_FAILED: it stays where it is
 */
export async function bringLeadHome(client: EtcdClient, signal: AbortSignal): Promise<boolean> {
  const [home, ...others] = client.members;
  if (home === undefined || others.length === 0) return false;
  const { header, leader } = await client.callAt(home, ({ calls }) => calls.maintenance.status(), signal);
  const targetID = header.member_id;
  if (leader === targetID) return false;
  for (const member of others) {
    const status = await client
      .callAt(member, ({ calls }) => calls.maintenance.status(), signal)
      .catch(() => undefined);
    signal.throwIfAborted();
    if (status?.header.member_id !== leader) continue;
    // Only the one that leads can hand over.
    await client.callAt(member, ({ calls }) => calls.maintenance.moveLeader({ targetID }), signal);
    return true;
  }
  return false;
}

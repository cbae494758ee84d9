import type { ILeaseKeepAliveResponse } from "etcd3";
import type { LeaseId, Leases, RenewOutcome, RenewRequest } from "../store.js";
import type { EtcdClient } from "./client.js";
import { isLeaseGone } from "./errors.js";

/** Store.leases on etcd. */
export class EtcdLeases implements Leases {
  readonly #client: EtcdClient;

  constructor(client: EtcdClient) {
    this.#client = client;
  }

  async grant(ttlSeconds: number, signal: AbortSignal): Promise<{ leaseId: LeaseId; ttlSeconds: number }> {
    const { ID, TTL } = await this.#client.call(
      ({ calls }) => calls.leaseClient.leaseGrant({ TTL: ttlSeconds }),
      signal,
    );
    return { leaseId: ID, ttlSeconds: Number(TTL) };
  }

  async renew({ leaseId, timeoutMs }: RenewRequest, signal: AbortSignal): Promise<RenewOutcome> {
    const deadline = Date.now() + (timeoutMs ?? this.#client.callTimeoutMs);
    const answer = await this.#client.call(async ({ renewals }) => {
      const stream = await renewals.leaseClient.leaseKeepAlive({ deadline });
      return new Promise<ILeaseKeepAliveResponse>((resolve, reject) => {
        stream.on("error", reject);
        stream.on("end", () => reject(new Error("the stream ended without an answer")));
        stream.on("data", resolve);
        stream.write({ ID: leaseId });
        // One question, one answer: a stream of its own for each renewal cannot go stale.
        stream.end();
      });
    }, signal);
    const ttlSeconds = Number(answer.TTL);
    return ttlSeconds > 0 ? { kind: "renewed", ttlSeconds } : { kind: "expired" };
  }

  async revoke(leaseId: LeaseId, signal: AbortSignal): Promise<void> {
    try {
      await this.#client.call(({ calls }) => calls.leaseClient.leaseRevoke({ ID: leaseId }), signal);
    } catch (error) {
      if (!isLeaseGone(error)) throw error;
    }
  }
}

import { expect, it } from "vitest";
import { ClientQuota } from "./client-quota.js";

const client = (network: number, host: number) => ({
  gateway: `10.64.${network}.1`,
  address: `10.64.${network}.${host}`,
});

it("ClientQuota limits each client, each network and all clients together", () => {
  const quota = new ClientQuota({ perClient: 2, perNetwork: 3, total: 4 });
  const tryAcquire = (network: number, host: number): boolean => quota.tryAcquire(client(network, host));
  expect([tryAcquire(0, 2), tryAcquire(0, 2), tryAcquire(0, 2)]).toEqual([true, true, false]);
  expect([tryAcquire(0, 3), tryAcquire(0, 4)]).toEqual([true, false]);
  expect([tryAcquire(1, 2), tryAcquire(1, 3)]).toEqual([true, false]);
});

it("ClientQuota admits a client again once its work ends", () => {
  const quota = new ClientQuota({ perClient: 1, perNetwork: 9, total: 9 });
  const [first, other] = [client(0, 2), client(0, 3)];
  expect([quota.tryAcquire(first), quota.tryAcquire(first)]).toEqual([true, false]);
  quota.release(first);
  expect([quota.tryAcquire(first), quota.tryAcquire(first), quota.tryAcquire(other)]).toEqual([
    true,
    false,
    true,
  ]);
});

it("ClientQuota counts an address in each network apart: a client of one network cannot use up another's", () => {
  const quota = new ClientQuota({ perClient: 1, perNetwork: 9, total: 9 });
  const address = "10.64.0.2";
  expect(quota.tryAcquire({ gateway: "10.64.0.1", address })).toBe(true);
  expect(quota.tryAcquire({ gateway: "10.64.1.1", address })).toBe(true);
});

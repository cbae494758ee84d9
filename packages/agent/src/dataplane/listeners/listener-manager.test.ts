import { expect, it, vi } from "vitest";
import { listenerWith } from "../kernel/testing.js";
import type { Transport } from "../transport/transport.js";
import { type KernelBalancer, ListenerManager } from "./listener-manager.js";

const RETRY = { timeout: 10_000 };

it("retries until the kernel balances the listeners", async () => {
  const transport = { listen: async () => ({ close: () => {} }) } as unknown as Transport;
  const onRetryFailed = vi.fn();
  const manager = new ListenerManager({ transport, now: () => 0, onRetryFailed });
  const busy = new Error("nft is busy");
  const apply = vi.fn<KernelBalancer["apply"]>(async () => {});
  await manager.useKernel({ apply, setSuspectNodes: async () => {}, addStatistics: async (stats) => stats });
  apply.mockRejectedValueOnce(busy).mockRejectedValueOnce(busy);
  await expect(manager.apply({ version: 1, listeners: [listenerWith()] })).rejects.toBe(busy);
  await vi.waitFor(() => expect(apply).toHaveBeenCalledTimes(3), RETRY);
  expect(onRetryFailed.mock.calls).toEqual([[busy]]);
});

it("keeps the error of a port while it tries to open the port again", async () => {
  const rejections: ((error: Error) => void)[] = [];
  const transport: Transport = {
    name: "net",
    listen: () => new Promise((_resolve, reject) => rejections.push(reject)),
    connect: () => {
      throw new Error("not used");
    },
  };
  const manager = new ListenerManager({ transport, now: () => 0 });
  const denied = Object.assign(new Error("denied"), { code: "EACCES" });
  const applied = manager.apply({ version: 1, listeners: [listenerWith()] });
  await vi.waitFor(() => expect(rejections).toHaveLength(1));
  rejections[0]?.(denied);
  const { errors } = await applied;
  expect(errors).toMatchObject([{ code: "EACCES" }]);
  await vi.waitFor(() => expect(rejections).toHaveLength(2), RETRY);
  expect(manager.errors).toEqual(errors);
});

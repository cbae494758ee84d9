import {
  type ImageInventory,
  isBerthError,
  MAX_STATUS_MESSAGE_LENGTH,
  PortSpec_Protocol,
  SessionRequest,
  type TaskStatus,
  type VolumeReply,
} from "@berth/proto";
import { expect, test } from "vitest";
import { buildTask } from "../core/testing/records.js";
import { encodeChange } from "../reconciler/transaction.js";
import { requireWithinLimits } from "./message-limits.js";

type Message = Parameters<typeof SessionRequest.fromPartial>[0]["message"];

function rejects(message: Message): boolean {
  try {
    requireWithinLimits("n1", SessionRequest.fromPartial({ message }));
    return false;
  } catch (error) {
    if (isBerthError(error, "BERTH_LIMIT_EXCEEDED")) return true;
    throw error;
  }
}

function statusOf(status: Parameters<typeof TaskStatus.fromPartial>[0]): Message {
  return { $case: "statuses", value: { tasks: [{ taskId: "t1", status }] } };
}
const many = <T>(count: number, item: T): T[] => Array.from({ length: count }, () => item);

const usageOf = (taskId: string): Message => ({ $case: "usage", value: { connections: [{ taskId }] } });
const inventoryOf = (value: Parameters<typeof ImageInventory.fromPartial>[0]): Message => ({
  $case: "imageInventory",
  value,
});
const volumesOf = (value: Parameters<typeof VolumeReply.fromPartial>[0]): Message => ({
  $case: "volumeReply",
  value,
});
const trafficOf = (listeners: { network: string }[]): Message => ({ $case: "traffic", value: { listeners } });

/** For each limit, the largest accepted message and one that exceeds the limit. */
const TABLE: readonly (readonly [string, (size: number) => Message, number])[] = [
  ["the tasks of a batch", (size) => ({ $case: "statuses", value: { tasks: many(size, {}) } }), 1_000],
  ["a task's id", (size) => ({ $case: "statuses", value: { tasks: [{ taskId: "x".repeat(size) }] } }), 128],
  ["a message", (size) => statusOf({ message: "x".repeat(size) }), MAX_STATUS_MESSAGE_LENGTH],
  ["a container's id", (size) => statusOf({ containerId: "x".repeat(size) }), 128],
  ["the ports of a task", (size) => statusOf({ ports: many(size, {}) }), 4_000],
  ["the addresses of a task", (size) => statusOf({ addresses: many(size, {}) }), 32],
  ["a network's id", (size) => statusOf({ addresses: [{ networkId: "x".repeat(size) }] }), 128],
  ["an address", (size) => statusOf({ addresses: [{ address: "x".repeat(size) }] }), 128],
  ["a MAC address", (size) => statusOf({ addresses: [{ macAddress: "x".repeat(size) }] }), 128],
  ["the tasks of a usage report", (size) => ({ $case: "usage", value: { tasks: many(size, {}) } }), 10_000],
  ["connections", (size) => ({ $case: "usage", value: { connections: many(size, {}) } }), 100_000],
  ["a task's id in a usage report", (size) => usageOf("x".repeat(size)), 128],
  ["an image's name", (size) => inventoryOf({ images: [{ names: ["x".repeat(size)] }] }), 512],
  ["a layer", (size) => inventoryOf({ layers: ["x".repeat(size)] }), 128],
  ["a volume's name", (size) => volumesOf({ volumes: [{ name: "x".repeat(size) }] }), 512],
  ["a volume's label", (size) => volumesOf({ volumes: [{ labels: { a: "x".repeat(size) } }] }), 4_096],
  ["a listener's network", (size) => trafficOf([{ network: "x".repeat(size) }]), 512],
  ["listeners", (size) => ({ $case: "traffic", value: { listeners: many(size, {}) } }), 5_000],
  [
    "tasks of a service",
    (size) => ({ $case: "traffic", value: { traffic: { tasks: many(size, {}) } } }),
    100_000,
  ],
];

test.each(TABLE)(
  "requireWithinLimits rejects a message when %s exceed the limit",
  (_, messageOf, maximum) => {
    expect(rejects(messageOf(maximum))).toBe(false);
    expect(rejects(messageOf(maximum + 1))).toBe(true);
  },
);

test("a record with the largest accepted status fits into the store", () => {
  const status = {
    message: "\u0000".repeat(MAX_STATUS_MESSAGE_LENGTH),
    containerId: "\u0000".repeat(128),
    ports: many(4_000, { protocol: PortSpec_Protocol.UDP, target: 65_535, hostPort: 4_294_967_295 }),
    addresses: many(32, { networkId: "\u0000".repeat(128), address: "\u0000".repeat(128) }),
  };
  const message = statusOf(status);
  expect(rejects(message)).toBe(false);
  const request = SessionRequest.fromPartial({ message });
  const reported = request.message?.$case === "statuses" ? request.message.value.tasks[0]?.status : undefined;
  expect(reported).toBeDefined();
  const task = { ...buildTask({ id: "t1" }), status: reported };
  expect(encodeChange({ kind: "put-task", task }).bytes).toBeLessThan(500_000);
});

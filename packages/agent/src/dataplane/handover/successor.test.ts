import { EventEmitter } from "node:events";
import { expect, it, vi } from "vitest";
import { encodeSnapshot, type SourceMessage } from "./message.js";
import { receiveHandover } from "./successor.js";

const SNAPSHOT = encodeSnapshot({
  table: { version: 7, listeners: [] },
  suspectNodeIds: ["n1"],
  dns: { networks: [], services: [], clients: [] },
  activeVips: [],
});

/** The successor's end of an IPC channel, on which the test sends the messages of the predecessor. */
function openChannel() {
  const channel = Object.assign(new EventEmitter(), { send: vi.fn() });
  const receive = (message: SourceMessage | { readonly kind: string }, handle?: unknown) =>
    channel.emit("message", message, handle);
  return { channel, receive };
}

it("receiveHandover() ignores a flow without its fields", async () => {
  const { channel, receive } = openChannel();
  const receiving = receiveHandover({ warn: vi.fn() }, channel);
  receive({ kind: "flow" }, { close: vi.fn() });
  receive({ kind: "snapshot", bytes: SNAPSHOT });
  const handover = await receiving;
  expect(handover.flows).toEqual([]);
  channel.emit("disconnect");
  await expect(handover.reportPrepared()).rejects.toThrow("predecessor exited");
});

it("receiveHandover() ignores and logs a message of a kind that only a newer release sends", async () => {
  const { channel, receive } = openChannel();
  const warn = vi.fn();
  const handle = { close: vi.fn() };
  const receiving = receiveHandover({ warn }, channel);
  receive({ kind: "quic-flow" }, handle);
  receive({ kind: "quic-flow" }, handle);
  receive({ kind: "snapshot", bytes: SNAPSHOT });
  const handover = await receiving;
  expect(handover).toMatchObject({ table: { version: 7 }, suspectNodeIds: ["n1"] });
  expect(warn).toHaveBeenCalledExactlyOnceWith({ kind: "quic-flow" }, "unknown handover message ignored");
  expect(handle.close).toHaveBeenCalledTimes(2);
  const released = handover.reportServing();
  receive({ kind: "released" });
  await released;
});

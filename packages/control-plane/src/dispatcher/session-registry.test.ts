import { Welcome } from "@berth/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { Session } from "./session.js";
import { SessionRegistry } from "./session-registry.js";
import { NO_ASSIGNMENTS } from "./testing/no-assignments.js";

function sessionOf(nodeId: string, bootId = "boot"): Session {
  return new Session({
    nodeId,
    bootId,
    peer: `${nodeId}:1`,
    welcome: Welcome.fromPartial({ epoch: 1, heartbeatMs: 500 }),
    clock: new ManualClock(),
    source: NO_ASSIGNMENTS,
    tableVersion: () => 1,
  });
}

async function endOf(session: Session): Promise<unknown> {
  try {
    for await (const _ of session.messages());
    return undefined;
  } catch (error) {
    return error;
  }
}

test("an update that throws for one session ends that session only", async () => {
  const registry = new SessionRegistry(pino({ level: "silent" }));
  const [broken, healthy] = [sessionOf("n1"), sessionOf("n2")];
  for (const session of [broken, healthy]) registry.add(session);
  const updated: string[] = [];
  registry.forEachSession(registry.all(), ({ nodeId }) => {
    if (nodeId === "n1") throw new Error("broken");
    updated.push(nodeId);
  });
  expect(updated).toEqual(["n2"]);
  expect(healthy.isEnded).toBe(false);
  expect(await endOf(broken)).toMatchObject({ code: "BERTH_INTERNAL" });
});

test("a newer session of a node ends the older one, with an error when it is another process", async () => {
  const registry = new SessionRegistry(pino({ level: "silent" }));
  const [first, reconnected, other] = [sessionOf("n1"), sessionOf("n1"), sessionOf("n1", "other boot")];
  registry.add(first);
  registry.add(reconnected);
  expect(await endOf(first)).toBeUndefined();
  registry.add(other);
  expect(await endOf(reconnected)).toMatchObject({ code: "BERTH_CONFLICT" });
  registry.remove(reconnected);
  expect(registry.get("n1")).toBe(other);
});

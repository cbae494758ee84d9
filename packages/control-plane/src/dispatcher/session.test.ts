import { BerthError, DEFAULT_POLICY, type SessionResponse, Welcome } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { buildSpec, buildTask } from "../core/testing/records.js";
import { ManualClock } from "../testing/manual-clock.js";
import { Session } from "./session.js";
import { NO_NETWORKS } from "./testing/no-assignments.js";

function sessionWith(
  clock: ManualClock,
  isFlooded = () => false,
): {
  session: Session;
  tasks: Map<string, ReturnType<typeof buildTask>>;
} {
  const tasks = new Map<string, ReturnType<typeof buildTask>>();
  const session = new Session({
    nodeId: "n1",
    bootId: "boot",
    peer: "peer",
    welcome: Welcome.fromPartial({ epoch: 1, heartbeatMs: 500 }),
    clock,
    hasBacklog: isFlooded,
    source: {
      tasks: () => tasks.values(),
      task: (id) => tasks.get(id),
      spec: () => buildSpec(),
      ingressEntries: () => [],
      ingressEntry: () => undefined,
      policy: () => DEFAULT_POLICY,
      keepsUnknownTasks: () => false,
      isStopHeld: () => false,
      file: () => undefined,
      registryLogin: () => undefined,
      ...NO_NETWORKS,
    },
    tableVersion: () => 1,
  });
  return { session, tasks };
}

async function collect(
  session: Session,
): Promise<{ messages: SessionResponse["message"][]; ended: Promise<unknown> }> {
  const messages: SessionResponse["message"][] = [];
  const ended = (async () => {
    for await (const { message } of session.messages()) messages.push(message);
  })().catch((error: unknown) => error);
  return { messages, ended };
}

describe("Session.messages()", () => {
  it("sends the welcome, the complete set, and simultaneous changes in one message", async () => {
    const clock = new ManualClock();
    const { session, tasks } = sessionWith(clock);
    const { messages } = await collect(session);
    await clock.advance(1_000);
    expect(messages.map((message) => message?.$case)).toEqual(["welcome", "assignments"]);
    for (const id of ["a", "b"]) {
      tasks.set(id, buildTask({ id }));
      session.markTaskStale(id);
    }
    await clock.advance(0);
    expect(messages).toHaveLength(3);
    tasks.set("c", buildTask({ id: "c" }));
    session.markTaskStale("c");
    await clock.advance(5);
    tasks.set("d", buildTask({ id: "d" }));
    session.markTaskStale("d");
    await clock.advance(5);
    expect(messages).toHaveLength(3);
    await clock.advance(20);
    const sent = messages.map((message) =>
      message?.$case === "assignments" ? message.value.tasks.length : 0,
    );
    expect(sent).toEqual([0, 0, 2, 2]);
    session.end();
  });

  it("delays a stream of task changes longer and longer, but never traffic changes", async () => {
    const clock = new ManualClock();
    const { session, tasks } = sessionWith(clock);
    const { messages } = await collect(session);
    await clock.advance(1_000);
    const flood = async (forMs: number): Promise<void> => {
      for (let ms = 0; ms < forMs; ms += 5) {
        const id = `t${tasks.size}`;
        tasks.set(id, buildTask({ id }));
        session.markTaskStale(id);
        await clock.advance(5);
      }
    };
    await flood(2_000);
    const sent = messages.length;
    expect(sent).toBeLessThan(15);
    await flood(50);
    session.markIngressStale("tcp//80");
    await clock.advance(20);
    expect(messages).toHaveLength(sent + 1);
    session.end();
  });

  it("requests an acknowledgement once, in an empty message if nothing changed", async () => {
    const clock = new ManualClock();
    const { session } = sessionWith(clock);
    const { messages } = await collect(session);
    await clock.advance(1_000);
    session.requestTableAck(1);
    session.requestTableAck(1);
    await clock.advance(50);
    const wanted = messages.flatMap((message) =>
      message?.$case === "assignments" ? [[message.value.resultsIn, message.value.ackRequested]] : [],
    );
    expect(wanted).toEqual([
      [1, false],
      [2, true],
    ]);
    expect(session.appliedTableVersion).toBe(0);
    expect(session.recordTablesApplied(2)).toBe(true);
    expect(session.appliedTableVersion).toBe(1);
    session.end();
  });

  it("delays changes longer during a backlog, and sends them all at its end", async () => {
    const clock = new ManualClock();
    let isFlooded = true;
    const { session, tasks } = sessionWith(clock, () => isFlooded);
    const { messages } = await collect(session);
    await clock.advance(1_000);
    for (let ms = 0; ms < 5_000; ms += 100) {
      const id = `t${tasks.size}`;
      tasks.set(id, buildTask({ id }));
      session.markTaskStale(id);
      await clock.advance(100);
    }
    const sent = messages.length;
    expect(sent).toBeLessThan(13);
    isFlooded = false;
    session.onBacklogCleared();
    await clock.advance(0);
    expect(messages).toHaveLength(sent + 1);
    const sentIds = messages.flatMap((message) =>
      message?.$case === "assignments" ? message.value.tasks.map(({ id }) => id) : [],
    );
    expect(sentIds).toEqual([...tasks.keys()]);
    session.end();
  });

  it("acknowledges only the latest batch, without delay", async () => {
    const clock = new ManualClock();
    const { session } = sessionWith(clock);
    const { messages } = await collect(session);
    await clock.advance(0);
    session.ackStatuses(1);
    session.ackStatuses(3);
    session.ackStatuses(2);
    await clock.advance(0);
    const acks = messages.flatMap((message) =>
      message?.$case === "statusesAck" ? [message.value.batch] : [],
    );
    expect(acks.at(-1)).toBe(3);
    session.end();
  });

  it("rejects commands that an agent does not read, and stays open", async () => {
    const { session } = sessionWith(new ManualClock());
    const results = Array.from({ length: 2_000 }, (_, index) =>
      session.send({ $case: "trafficRequest", value: { requestId: `r${index}`, serviceName: "" } }),
    );
    expect(results.filter(Boolean)).toHaveLength(1_000);
    expect(session.isEnded).toBe(false);
  });

  it("ends with the first reason", async () => {
    const clock = new ManualClock();
    const { session } = sessionWith(clock);
    const { ended } = await collect(session);
    await clock.advance(0);
    session.end(new BerthError({ code: "BERTH_NOT_LEADER", message: "no more" }));
    session.end();
    expect(await ended).toMatchObject({ code: "BERTH_NOT_LEADER" });
  });
});

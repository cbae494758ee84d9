import { describe, expect, it } from "vitest";
import { decodeEvent, eventMessage, eventSubject, eventText } from "../model/event.js";
import { EventLog, MAX_EVENTS } from "./event-log.js";

const event = (sequence: number, timeMs: number, fields = {}) =>
  decodeEvent({ epoch: 1, sequence, timeMs, reason: "TASK_FAILED", taskId: "t1", ...fields });

describe("EventLog", () => {
  it("keeps each event once, in the order of time", () => {
    const log = new EventLog();
    expect(log.add([event(2, 200), event(3, 300)], 350)).toBe(true);
    expect(log.add([event(3, 300)], 400)).toBe(false);
    log.add([event(0, 100), event(0, 100)], 400);
    expect(log.events.map(({ timeMs, receivedAtMs }) => [timeMs, receivedAtMs])).toEqual([
      [100, 400],
      [200, 350],
      [300, 350],
    ]);
  });

  it("keeps the newest events", () => {
    const log = new EventLog();
    const events = Array.from({ length: MAX_EVENTS + 10 }, (_, index) => event(index + 1, index));
    log.add(events, MAX_EVENTS + 10);
    expect(log.events).toHaveLength(MAX_EVENTS);
    expect(log.events[0]?.timeMs).toBe(10);
  });
});

describe("eventSubject", () => {
  it("names the task, the service or the node", () => {
    const task = { serviceName: "shop_web", slot: 3, nodeHostname: "h2" };
    expect(eventSubject(event(1, 1, task))).toBe("shop_web.3 on h2");
    expect(eventSubject(event(1, 1, { taskId: "", serviceName: "shop_web" }))).toBe("shop_web");
    expect(eventSubject(event(1, 1, { taskId: "", nodeHostname: "h2" }))).toBe("node h2");
    expect(eventText(event(1, 1))).toBe("task failed");
  });
});

describe("eventMessage", () => {
  it("leaves out a message that repeats the node of the subject", () => {
    const at = { nodeHostname: "h2" };
    expect(eventMessage(event(1, 1, { ...at, message: "on h2" }))).toBe("");
    expect(eventMessage(event(1, 1, { ...at, message: "exit code 1" }))).toBe("exit code 1");
  });
});

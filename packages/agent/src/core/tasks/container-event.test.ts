import { expect, test } from "vitest";
import { type ContainerEvent, eventEffect, type WorkState } from "./container-event.js";

const event = (kind: ContainerEvent["kind"], unixSignal = ""): ContainerEvent => ({
  kind,
  unixSignal,
  containerId: "c",
  taskId: "t",
});
const idle: WorkState = { inFlight: undefined, state: "running" };

test("eventEffect ignores events that a step in flight causes", () => {
  expect(eventEffect(event("started"), { inFlight: "start", state: "created" })).toBe("ignore");
  expect(eventEffect(event("started"), idle)).toBe("ignore");
  expect(eventEffect(event("ended"), { ...idle, inFlight: "stop" })).toBe("ignore");
  expect(eventEffect(event("signaled", "15"), { ...idle, inFlight: "stop" })).toBe("ignore");
  expect(eventEffect(event("removed"), { inFlight: undefined, state: undefined })).toBe("ignore");
});

test("eventEffect inspects after external changes and remembers a terminating signal", () => {
  expect(eventEffect(event("started"), { ...idle, state: "exited" })).toBe("inspect");
  expect(eventEffect(event("removed"), idle)).toBe("inspect");
  expect(eventEffect(event("health"), idle)).toBe("inspect");
  // A program may end during its start, after the inspection that follows the start.
  expect(eventEffect(event("ended"), { inFlight: "start", state: "created" })).toBe("inspect");
  expect(eventEffect(event("signaled", "9"), idle)).toBe("remember-signal");
  expect(eventEffect(event("signaled", "10"), idle)).toBe("ignore");
});

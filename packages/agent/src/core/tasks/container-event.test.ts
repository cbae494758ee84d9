import { expect, test } from "vitest";
import { type ContainerEvent, eventEffect, type WorkState } from "./container-event.js";

const event = (kind: ContainerEvent["kind"], unixSignal = ""): ContainerEvent => ({
  kind,
  unixSignal,
  containerId: "c",
  taskId: "t",
});
const idle: WorkState = { inFlight: undefined, state: "running" };

test("effectOf ignores the echo of what the agent does itself", () => {
  expect(eventEffect(event("started"), { inFlight: "start", state: "created" })).toBe("ignore");
  expect(eventEffect(event("started"), idle)).toBe("ignore");
  expect(eventEffect(event("ended"), { ...idle, inFlight: "stop" })).toBe("ignore");
  expect(eventEffect(event("signalled", "15"), { ...idle, inFlight: "stop" })).toBe("ignore");
  expect(eventEffect(event("removed"), { inFlight: undefined, state: undefined })).toBe("ignore");
});

test("effectOf looks at what others did, and remembers a signal that ends", () => {
  expect(eventEffect(event("started"), { ...idle, state: "exited" })).toBe("look");
  expect(eventEffect(event("removed"), idle)).toBe("look");
  expect(eventEffect(event("health"), idle)).toBe("look");
  // A program may end while it is being started: the look of the start may come too early.
  expect(eventEffect(event("ended"), { inFlight: "start", state: "created" })).toBe("look");
  expect(eventEffect(event("signalled", "9"), idle)).toBe("remember-signal");
  expect(eventEffect(event("signalled", "10"), idle)).toBe("ignore");
});

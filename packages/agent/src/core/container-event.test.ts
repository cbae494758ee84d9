import { expect, test } from "vitest";
import { type ContainerEvent, effectOf, type KnownOfTask } from "./container-event.js";

const event = (kind: ContainerEvent["kind"], unixSignal = ""): ContainerEvent => ({
  kind,
  unixSignal,
  containerId: "c",
  taskId: "t",
});
const idle: KnownOfTask = { inFlight: undefined, state: "running" };

test("effectOf ignores the echo of what the agent does itself", () => {
  expect(effectOf(event("started"), { inFlight: "start", state: "created" })).toBe("ignore");
  expect(effectOf(event("started"), idle)).toBe("ignore");
  expect(effectOf(event("ended"), { ...idle, inFlight: "stop" })).toBe("ignore");
  expect(effectOf(event("signalled", "15"), { ...idle, inFlight: "stop" })).toBe("ignore");
  expect(effectOf(event("removed"), { inFlight: undefined, state: undefined })).toBe("ignore");
});

test("effectOf looks at what others did, and remembers a signal that ends", () => {
  expect(effectOf(event("started"), { ...idle, state: "exited" })).toBe("look");
  expect(effectOf(event("removed"), idle)).toBe("look");
  expect(effectOf(event("health"), idle)).toBe("look");
  // A program may end while it is being started: the look of the start may come too early.
  expect(effectOf(event("ended"), { inFlight: "start", state: "created" })).toBe("look");
  expect(effectOf(event("signalled", "9"), idle)).toBe("remember-signal");
  expect(effectOf(event("signalled", "10"), idle)).toBe("ignore");
});

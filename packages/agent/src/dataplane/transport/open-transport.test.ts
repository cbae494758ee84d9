import { pino } from "pino";
import { describe, expect, it, vi } from "vitest";
import { loadTcpBinding, type TcpBinding, type TcpHandle } from "../../runtime/tcp-binding.js";
import { createNetTransport } from "./net-transport.js";
import { openTransport } from "./open-transport.js";
import { createRawTransport } from "./raw-transport.js";
import { testTransport } from "./self-test.js";

function realBinding(): TcpBinding {
  const binding = loadTcpBinding();
  if (binding === undefined) throw new Error("this Node has no TCP binding");
  return binding;
}

async function open(
  binding: TcpBinding | undefined,
): Promise<{ readonly name: string; readonly reason: string }> {
  const log = pino({ level: "silent" });
  const warn = vi.spyOn(log, "warn");
  const { name } = await openTransport(log, binding);
  const reason = warn.mock.calls.map(([fields]) => JSON.stringify(fields)).join();
  return { name, reason };
}

describe("openTransport", () => {
  it("selects the raw transport when it passes the test over loopback", async () => {
    expect(await open(realBinding())).toEqual({ name: "raw", reason: "" });
  });

  it("falls back to the net transport when the binding delivers no data", async () => {
    const opened = await open({ ...realBinding(), bytesReadOrError: () => 0 });
    expect(opened.name).toBe("net");
    expect(opened.reason).toContain("write: timed out");
  });

  it("falls back to the net transport when a method of the handles is missing", async () => {
    const binding = realBinding();
    function WithoutReadStart(kind: number): TcpHandle {
      return Object.defineProperty(new binding.TCP(kind), "readStart", { value: undefined });
    }
    const opened = await open({ ...binding, TCP: WithoutReadStart as unknown as TcpBinding["TCP"] });
    expect(opened.name).toBe("net");
    expect(opened.reason).toContain("readStart is not a function");
  });

  it("passes the test with either transport", async () => {
    await testTransport(createRawTransport(realBinding()));
    await testTransport(createNetTransport());
  });
});

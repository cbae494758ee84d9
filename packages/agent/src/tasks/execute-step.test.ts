import { type AssignedRegistryLogin, PortSpec_Protocol } from "@berth/proto";
import { describe, expect, test, vi } from "vitest";
import { containerWith } from "../core/tasks/testing.js";
import type { Engine } from "../engine/engine.js";
import { EngineError, type EngineErrorKind } from "../engine/engine-error.js";
import { ConcurrencyLimits } from "./concurrency-limits.js";
import { executeStep, type StepTools } from "./execute-step.js";
import { ImageCache } from "./image-cache.js";

const { signal } = new AbortController();
const start = { kind: "start", containerId: "c1" } as const;

function toolsWith(parts: Partial<Engine>): StepTools {
  const engine = { ping: async () => {}, ...parts } as Engine;
  return {
    engine,
    limits: new ConcurrencyLimits(),
    images: new ImageCache(engine, Date.now),
    checkPort: async () => "accepted",
    shareFile: async () => "",
    taskFiles: {
      directory: "/files",
      list: async () => [],
      write: vi.fn(),
      remove: vi.fn(),
      swapProblem: "",
    },
    shippedFiles: undefined,
    registryLogins: () => [],
    onPullProgress: () => {},
    onPortPublishing: vi.fn(),
    onSwapProblem: vi.fn(),
  };
}

const failWith = (kind: EngineErrorKind, message: string) => async (): Promise<never> => {
  throw new EngineError(kind, message);
};

const away = failWith("unavailable", "Docker does not respond");

test.each<[string, EngineErrorKind, string]>([
  ["would be rejected", "invalid", "rejected"],
  ["would be repeated", "failed", "failed"],
])(
  "a start that %s has an unknown outcome if the daemon does not respond afterwards",
  async (_, kind, outcome) => {
    const failingStart = failWith(kind, "OCI runtime create failed");
    const alive = toolsWith({ start: failingStart });
    expect(await executeStep(start, alive, signal)).toEqual({
      kind: outcome,
      reason: "OCI runtime create failed",
    });
    const closing = toolsWith({ start: failingStart, ping: away });
    expect(await executeStep(start, closing, signal)).toEqual({
      kind: "unknown",
      reason: "Docker does not respond",
    });
  },
);

test("a pull that a daemon cuts short while it shuts down does not reject the task", async () => {
  const pull = { kind: "pull", image: "web:1", platform: "", stack: "shop" } as const;
  const failingPull = failWith("failed", "context canceled");
  expect(await executeStep(pull, toolsWith({ pull: failingPull }), signal)).toMatchObject({
    kind: "rejected",
  });
  const closing = toolsWith({ pull: failingPull, ping: away });
  expect(await executeStep(pull, closing, signal)).toMatchObject({ kind: "unknown" });
});

describe("a pull with registry logins", () => {
  const pull = { kind: "pull", image: "ghcr.io/a:1", platform: "", stack: "shop" } as const;
  const loginOf = (stack: string, secret: string): AssignedRegistryLogin => ({
    id: stack,
    stack,
    credentials: { server: "ghcr.io", username: "ci", secret, isIdentityToken: false },
  });

  /** A registry that accepts one secret. Pulls without credentials have the secret "none". */
  function toolsFor(accepted: string, logins: readonly AssignedRegistryLogin[], failure = "unauthorized") {
    const tried: string[] = [];
    const tools = toolsWith({
      pull: async (_image, { credentials }) => {
        const { secret = "none" } = credentials ?? {};
        tried.push(secret);
        if (secret !== accepted) throw new EngineError("failed", failure);
      },
    });
    return { tried, tools: { ...tools, registryLogins: () => logins } };
  }

  const logins = [loginOf("", "named"), loginOf("shop", "expired")];

  test("tries the login for all stacks after the registry has refused the stack's own", async () => {
    const { tools, tried } = toolsFor("named", logins);
    expect(await executeStep(pull, tools, signal)).toEqual({ kind: "image-known" });
    expect(tried).toEqual(["expired", "named"]);
  });

  test("rejects a pull with a code when all logins are refused, and when there is none", async () => {
    expect(await executeStep(pull, toolsFor("other", logins).tools, signal)).toMatchObject({
      kind: "rejected",
      errorCode: "BERTH_REGISTRY_LOGIN_REFUSED",
    });
    const { tools, tried } = toolsFor("other", []);
    expect(await executeStep(pull, tools, signal)).toMatchObject({
      kind: "rejected",
      errorCode: "BERTH_REGISTRY_LOGIN_MISSING",
    });
    expect(tried).toEqual(["none"]);
  });

  test("keeps the text of a failure of another kind, and tries no other login", async () => {
    const { tools, tried } = toolsFor("other", logins, "manifest unknown");
    expect(await executeStep(pull, tools, signal)).toEqual({
      kind: "rejected",
      reason: "cannot pull image ghcr.io/a:1: manifest unknown",
    });
    expect(tried).toEqual(["expired"]);
  });
});

test("a stop that fails is repeated without a further request to Docker", async () => {
  const ping = vi.fn(async () => {});
  const stop = { kind: "stop", containerId: "c1", graceMs: 1, failure: "" } as const;
  const tools = toolsWith({ stop: failWith("invalid", "no"), ping });
  expect(await executeStep(stop, tools, signal)).toMatchObject({ kind: "failed" });
  expect(ping).not.toHaveBeenCalled();
});

test("missing firewall rules are a problem of the host until a container has published ports", async () => {
  const broken = toolsWith({ start: failWith("firewall", "No chain/target/match by that name") });
  const reason = "Docker cannot publish ports: its firewall rules are gone; restart Docker";
  expect(await executeStep(start, broken, signal)).toEqual({
    kind: "failed",
    reason: `${reason} (No chain/target/match by that name)`,
  });
  expect(broken.onPortPublishing).toHaveBeenCalledWith(reason);

  const withoutPorts = toolsWith({ start: async () => {}, inspect: async () => containerWith() });
  await executeStep(start, withoutPorts, signal);
  expect(withoutPorts.onPortPublishing).not.toHaveBeenCalled();
  const ports = [{ protocol: PortSpec_Protocol.TCP, target: 80, hostPort: 32_768, hostIp: "0.0.0.0" }];
  const withPorts = toolsWith({ start: async () => {}, inspect: async () => containerWith({ ports }) });
  await executeStep(start, withPorts, signal);
  expect(withPorts.onPortPublishing).toHaveBeenCalledWith("");
});

test("a failure to write secrets is reported without a request to Docker, and swap is a problem of the host", async () => {
  const ping = vi.fn(async () => {});
  const step = { kind: "write-files", taskId: "t1", files: [], directoryGid: 0 } as const;
  const broken = toolsWith({ ping });
  vi.mocked(broken.taskFiles.write).mockRejectedValue(new Error("ENOSPC: no space left on device"));
  expect(await executeStep(step, broken, signal)).toEqual({
    kind: "failed",
    reason: "cannot write secrets: ENOSPC: no space left on device",
  });
  expect(ping).not.toHaveBeenCalled();
  const exposed = toolsWith({});
  const taskFiles = { ...exposed.taskFiles, swapProblem: "secrets may be swapped" };
  expect(await executeStep(step, { ...exposed, taskFiles }, signal)).toEqual({ kind: "files-written" });
  expect(exposed.onSwapProblem).toHaveBeenCalledWith("secrets may be swapped");
});

import { RegistryCredentials } from "@berth/proto";
import { expect, test, vi } from "vitest";
import type { Engine } from "../engine/engine.js";
import { EngineError } from "../engine/engine-error.js";
import { ImageDigestResponder } from "./image-digest-responder.js";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;
const NEVER = new AbortController().signal;

/** A host that has built `built:1` and pulled `pulled:1`. Registries have `pulled` and `new`. */
const ENGINE: Pick<Engine, "repoDigests" | "registryDigest"> = {
  repoDigests: async (image) => {
    if (image === "built:1") return [];
    return image === "pulled:1" ? [`pulled@sha256:${"0".repeat(64)}`] : undefined;
  },
  registryDigest: async (image) => {
    if (image === "gone:1") throw new EngineError("not-found", "manifest unknown");
    return DIGEST;
  },
};

function hangUntilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}

test.each([
  { image: "built:1", answer: { digest: "", isLocal: true, error: "" } },
  { image: "pulled:1", answer: { digest: DIGEST, isLocal: false, error: "" } },
  { image: "new:1", answer: { digest: DIGEST, isLocal: false, error: "" } },
  { image: "gone:1", answer: { digest: "", isLocal: false, error: "manifest unknown" } },
])("ImageDigestResponder answers for $image", async ({ image, answer }) => {
  const responder = new ImageDigestResponder(ENGINE, NEVER);
  expect(await responder.answer({ requestId: "r1", image, credentials: [] })).toEqual({
    requestId: "r1",
    ...answer,
  });
});

test("ImageDigestResponder answers within 4 s, and for local images while registries do not answer", async () => {
  // AbortSignal.timeout does not use the timers that vi can replace.
  const timeout = new AbortController();
  const spy = vi.spyOn(AbortSignal, "timeout").mockReturnValue(timeout.signal);
  const registryDigest: Engine["registryDigest"] = (_, { signal }) => hangUntilAborted(signal);
  const responder = new ImageDigestResponder({ ...ENGINE, registryDigest }, NEVER);
  const images = Array.from({ length: 40 }, (_, index) => `registry.invalid/app${index}:1`);
  const answers = images.map((image) => responder.answer({ requestId: image, image, credentials: [] }));
  expect(await responder.answer({ requestId: "r1", image: "built:1", credentials: [] })).toMatchObject({
    isLocal: true,
  });
  timeout.abort();
  const expected = { digest: "", isLocal: false, error: "no response from its registry within 4 s" };
  expect(await Promise.all(answers)).toEqual(images.map((requestId) => ({ requestId, ...expected })));
  expect(spy.mock.calls[0]).toEqual([4_000]);
  spy.mockRestore();
});

test("ImageDigestResponder does not respond when the agent stops, or when it has a thousand requests", async () => {
  const stopping = new AbortController();
  const repoDigests: Engine["repoDigests"] = (_, { signal }) => hangUntilAborted(signal);
  const responder = new ImageDigestResponder({ ...ENGINE, repoDigests }, stopping.signal);
  const request = { requestId: "r1", image: "app:1", credentials: [] };
  const answers = Array.from({ length: 1_000 }, () => responder.answer(request));
  expect(await responder.answer(request)).toBeUndefined();
  stopping.abort();
  expect(new Set(await Promise.all(answers))).toEqual(new Set([undefined]));
});

test("ImageDigestResponder tries the credentials one after another while the registry refuses them", async () => {
  const tried: string[] = [];
  const registryDigest: Engine["registryDigest"] = async (_, { credentials }) => {
    tried.push(credentials?.username ?? "");
    if (credentials?.username !== "good") throw new EngineError("invalid", "unauthorized: expired");
    return DIGEST;
  };
  const responder = new ImageDigestResponder({ ...ENGINE, registryDigest }, NEVER);
  const loginOf = (username: string): RegistryCredentials =>
    RegistryCredentials.fromPartial({ server: "r.example.com", username, secret: "hunter2" });
  const answerWith = (...names: readonly string[]) =>
    responder.answer({ requestId: "r1", image: "r.example.com/a:1", credentials: names.map(loginOf) });
  expect(await answerWith("expired", "good", "unused")).toMatchObject({ digest: DIGEST, error: "" });
  expect(tried).toEqual(["expired", "good"]);
  expect(await answerWith("expired")).toMatchObject({ digest: "", error: "unauthorized: expired" });
  expect(await answerWith()).toMatchObject({ digest: "", error: "unauthorized: expired" });
});

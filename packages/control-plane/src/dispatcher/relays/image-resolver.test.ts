import { ImageDigest } from "@berth/proto";
import { expect, test } from "vitest";
import { systemRuntime } from "../../runtime/runtime.js";
import { ManualClock } from "../../testing/manual-clock.js";
import { RecordingSession } from "../testing/recording-session.js";
import { ImageResolver } from "./image-resolver.js";

const DIGEST = `sha256:${"a".repeat(64)}`;
const NEVER = new AbortController().signal;

function createResolver(resolvesImages = true) {
  const clock = new ManualClock();
  const session = new RecordingSession(clock, { resolvesImages });
  const resolver = new ImageResolver({
    runtime: { ...systemRuntime, clock },
    sessionOf: (nodeId) => (nodeId === "n1" ? session : undefined),
  });
  const answer = (index: number, fields: Partial<ImageDigest>, nodeId = "n1"): void => {
    const command = session.commands[index];
    const requestId = command?.$case === "imageDigestRequest" ? command.value.requestId : "";
    resolver.recordReply(nodeId, ImageDigest.fromPartial({ requestId, ...fields }));
  };
  return { clock, session, resolver, answer };
}

const ask = (...images: readonly string[]) =>
  images.map((image) => ({ image, nodeId: "n1", credentials: [] }));

test("ImageResolver sends all requests at once and returns each reply", async () => {
  const { session, resolver, answer } = createResolver();
  const resolving = resolver.resolve(ask("web:1", "built:1", "gone:1"), NEVER);
  expect(session.commands.map(({ value }) => value)).toMatchObject([
    { image: "web:1" },
    { image: "built:1" },
    { image: "gone:1" },
  ]);
  answer(2, { error: "manifest unknown" });
  answer(1, { isLocal: true });
  answer(0, { digest: DIGEST });
  answer(0, { digest: `sha256:${"b".repeat(64)}` });
  expect(Object.fromEntries(await resolving)).toEqual({
    "web:1": { kind: "resolved", digest: DIGEST },
    "built:1": { kind: "local" },
    "gone:1": { kind: "failed", reason: "manifest unknown" },
  });
});

test("ImageResolver takes no reference for a digest, and no answer of a node that was not asked", async () => {
  const { clock, resolver, answer } = createResolver();
  const resolving = resolver.resolve(ask("web:1", "api:1"), NEVER);
  answer(0, { digest: `evil.example.com/web@${DIGEST}` });
  answer(1, { digest: DIGEST }, "n2");
  await clock.advance(5_000);
  expect(Object.fromEntries(await resolving)).toEqual({
    "web:1": { kind: "failed", reason: "Docker returned no digest" },
    "api:1": { kind: "failed", reason: "node n1 cannot be queried: its agent did not reply within 5 s" },
  });
});

test("ImageResolver does not wait when the caller leaves, or for nodes that cannot answer", async () => {
  const { session, resolver } = createResolver();
  const leaving = new AbortController();
  const resolving = resolver.resolve(ask("web:1"), leaving.signal);
  leaving.abort();
  expect((await resolving).get("web:1")).toMatchObject({ kind: "failed" });
  await resolver.resolve(ask("web:1"), leaving.signal);
  await resolver.resolve([{ image: "web:1", nodeId: "n2", credentials: [] }], NEVER);
  expect([resolver.canResolveImages("n1"), resolver.canResolveImages("n2")]).toEqual([true, false]);
  session.end();
  expect(resolver.canResolveImages("n1")).toBe(false);
  expect(createResolver(false).resolver.canResolveImages("n1")).toBe(false);
});

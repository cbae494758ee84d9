import {
  type ControlServiceService,
  FileKind,
  FileVersion,
  Service,
  type ServiceSummary,
  User,
  UserRole,
} from "@berth/proto";
import type { CallContext, Caller, RpcHandlers } from "@berth/proto/rpc";
import { describe, expect, it } from "vitest";
import { redactEnvironments } from "./redact-environment.js";

type Handlers = RpcHandlers<typeof ControlServiceService>;

const SECRET = "hunter2";
const ENV = [`PASSWORD=${SECRET}`, "A=b=c", "EMPTY=", "INHERITED"];
const REDACTED_ENV = ["PASSWORD=<redacted>", "A=<redacted>", "EMPTY=<redacted>", "INHERITED"];

const summary: ServiceSummary = {
  desired: 1,
  running: 1,
  converged: true,
  reasons: [],
  completed: 0,
  service: Service.fromPartial({
    id: "s1",
    spec: { name: "shop_web", stack: "shop", task: { container: { image: "x", env: ENV } } },
  }),
};

const users = new Map(
  [
    User.fromPartial({ name: "vera", role: UserRole.VIEWER, certificateName: "vera.aaaaaa" }),
    User.fromPartial({
      name: "dora",
      role: UserRole.DEPLOYER,
      stacks: "bank",
      certificateName: "dora.aaaaaa",
    }),
    User.fromPartial({ name: "free", role: UserRole.DEPLOYER, certificateName: "free.aaaaaa" }),
  ].map((user) => [user.name, user]),
);

const source: Partial<Handlers> = {
  listServices: async () => ({ services: [summary] }),
  getService: async () => ({ service: summary, ingress: [], revisions: [] }),
  getFile: async () => ({
    versions: [FileVersion.fromPartial({ kind: FileKind.CONFIG, name: "shop_nginx", stack: "shop" })],
    uses: [],
    content: Buffer.from(SECRET),
  }),
  watchServices: async function* () {
    yield { services: [{ serviceId: "s1", removed: false, summary, tasks: [] }] };
  },
};
const handlers = redactEnvironments(source as Handlers, { users });

async function responses(caller: Caller): Promise<readonly unknown[]> {
  const signal = new AbortController().signal;
  const context: CallContext = { signal, peer: "", client: "", caller, forwarded: false };
  const watched: unknown[] = [];
  for await (const response of handlers.watchServices({ serviceIds: ["s1"] }, context)) {
    watched.push(response);
  }
  return [
    await handlers.listServices({ stack: "" }, context),
    await handlers.getService({ service: "s1" }, context),
    ...watched,
  ];
}

describe("redactEnvironments()", () => {
  it.each(["vera.aaaaaa", "dora.aaaaaa", "gone.aaaaaa"])(
    "hides the values of variables from %s",
    async (name) => {
      for (const response of await responses({ kind: "user", name })) {
        expect(JSON.stringify(response)).not.toContain(SECRET);
        expect(JSON.stringify(response)).toContain(JSON.stringify(REDACTED_ENV));
      }
      expect(summary.service?.spec?.task?.container?.env).toEqual(ENV);
    },
  );

  it.each([
    ["vera.aaaaaa", ""],
    ["dora.aaaaaa", ""],
    ["free.aaaaaa", SECRET],
  ])("shows %s the content of a config as %j", async (name, expected) => {
    const { signal } = new AbortController();
    const caller: Caller = { kind: "user", name };
    const context: CallContext = { signal, peer: "", client: "", caller, forwarded: false };
    const request = { kind: FileKind.CONFIG, name: "shop_nginx" };
    const { content, versions } = await handlers.getFile(request, context);
    expect(content.toString()).toBe(expected);
    expect(versions).toHaveLength(1);
  });

  it.each<Caller>([
    { kind: "user", name: "free.aaaaaa" },
    { kind: "user", name: "root" },
    { kind: "anonymous" },
  ])("shows them to $kind $name", async (caller) => {
    for (const response of await responses(caller)) {
      expect(JSON.stringify(response)).toContain(JSON.stringify(ENV));
    }
  });
});

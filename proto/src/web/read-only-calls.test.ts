import { expect, test } from "vitest";
import { Service } from "../../gen/berth/v1/cluster.js";
import type { ServiceSummary } from "../../gen/berth/v1/control.js";
import { FileKind } from "../../gen/berth/v1/spec.js";
import type { RpcClient } from "../rpc/types.js";
import type { Control } from "./api-methods.js";
import { readOnlyCalls } from "./read-only-calls.js";

const SECRET = "hunter2";
const summary: ServiceSummary = {
  desired: 1,
  running: 1,
  converged: true,
  reasons: [],
  completed: 0,
  service: Service.fromPartial({
    id: "s1",
    spec: { name: "shop_web", task: { container: { image: "web:1", env: [`PASSWORD=${SECRET}`] } } },
  }),
};
const source: Partial<RpcClient<Control>> = {
  listServices: async () => ({ services: [summary] }),
  getService: async () => ({ service: summary, ingress: [], revisions: [] }),
  getFile: async () => ({ versions: [], uses: [], content: Buffer.from(SECRET) }),
  watchServices: async function* () {
    yield { services: [{ serviceId: "s1", removed: false, summary, tasks: [] }] };
  },
};

test("readOnlyCalls() return no values of variables and no contents of configs", async () => {
  const calls = readOnlyCalls(source as RpcClient<Control>);
  const watched: unknown[] = [];
  for await (const response of calls.watchServices({ serviceIds: ["s1"] })) watched.push(response);
  const responses = [await calls.listServices({ stack: "" }), await calls.getService({ service: "s1" })];
  for (const response of [...responses, ...watched]) {
    expect(JSON.stringify(response)).toContain("PASSWORD=<redacted>");
    expect(JSON.stringify(response)).not.toContain(SECRET);
  }
  const { content } = await calls.getFile({ kind: FileKind.CONFIG, name: "shop_nginx" });
  expect(content).toHaveLength(0);
});

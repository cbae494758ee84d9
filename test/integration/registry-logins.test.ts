import { type RegistryCredentials, StreamAuditRequest, StreamEventsRequest } from "@berth/proto";
import { expect, test } from "vitest";
import { ROOT } from "../../packages/control-plane/src/store/keys.js";
import { readAll } from "../../packages/control-plane/src/store/read.js";
import { eventually } from "../harness/eventually.js";
import type { FakeAgent } from "../harness/fake-agent/fake-agent.js";
import { converged, deployment, service } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();

const SERVER = "registry.example.com:5000";
const PASSWORDS = ["hunter2-first", "hunter2-second", "hunter2-own"] as const;

const credentials = (secret: string): RegistryCredentials => ({
  server: SERVER,
  username: "ci",
  secret,
  isIdentityToken: false,
});

/** Returns the passwords that an agent has, with their stacks. */
const passwordsOf = (agent: FakeAgent): readonly string[] =>
  [...agent.logins.values()].map(({ stack, credentials }) => `${stack}:${credentials?.secret}`).sort();

/** Returns every value in etcd, with the texts that are in it as base64. */
async function storedText(): Promise<string> {
  const { store } = context.cluster.openStore();
  const { entries } = await readAll(store, { prefix: ROOT }, AbortSignal.timeout(30_000));
  const text = entries.map(({ key, value }) => `${key} ${JSON.stringify(value)}`).join("\n");
  const encoded = text.match(/[A-Za-z0-9+/=]{12,}/g) ?? [];
  return [text, ...encoded.map((each) => Buffer.from(each, "base64").toString("latin1"))].join("\n");
}

test("registry-logins: a login reaches only nodes with a task of the registry, and changes reach them without a new task", async () => {
  const [first, second, own] = PASSWORDS;
  const server = await context.cluster.startServer();
  const follower = await context.cluster.startServer();
  const { calls } = server;
  const checked: (RegistryCredentials | undefined)[] = [];
  const checkLogin = (login: RegistryCredentials | undefined): string => {
    checked.push(login);
    return login?.secret === first || login?.secret === second ? "" : "401 Unauthorized";
  };
  const [web] = await context.cluster.startAgents(["a"], { checkLogin });
  const [other] = await context.cluster.startAgents(["b"], { checkLogin });
  if (web === undefined || other === undefined) throw new Error("the agents did not start");

  await expect(
    calls.putRegistryLogin({ credentials: credentials("wrong"), skipCheck: false }),
  ).rejects.toMatchObject({
    code: "BERTH_REGISTRY_LOGIN_REFUSED",
    message: expect.stringContaining("could not log in as ci: 401 Unauthorized"),
  });
  // A follower forwards the call.
  await follower.calls.putRegistryLogin({ credentials: credentials(first), skipCheck: false });
  expect(checked.map((login) => login?.secret)).toEqual(["wrong", first]);
  const image = `${SERVER}/team/web:1`;
  const services = [
    service("web", { image, constraints: ["node.hostname == a"] }),
    service("idle", { constraints: ["node.hostname == b"] }),
  ];
  await calls.deployStack(deployment(services));
  await converged(calls, "shop_web");
  await converged(calls, "shop_idle");
  expect(passwordsOf(web)).toEqual([`:${first}`]);
  const { tasks } = await calls.listTasks({ service: "shop_web", stack: "", node: "" });

  await calls.putRegistryLogin({ credentials: credentials(second), skipCheck: false });
  await eventually("the node has the new password", () => passwordsOf(web).join() === `:${second}`);
  await calls.deployStack(deployment(services, { registryLogins: { credentials: [credentials(own)] } }));
  const both = `:${second},shop:${own}`;
  await eventually("the node has the login of the stack", () => passwordsOf(web).join() === both);
  const later = await calls.listTasks({ service: "shop_web", stack: "", node: "" });
  expect(later.tasks.map(({ id }) => id)).toEqual(tasks.map(({ id }) => id));

  const texts = [await storedText()];
  expect(texts[0]).toContain(`${ROOT}logins/`);
  for await (const record of calls.streamAudit(StreamAuditRequest.fromPartial({})))
    texts.push(JSON.stringify(record));
  for await (const event of calls.streamEvents(StreamEventsRequest.fromPartial({})))
    texts.push(JSON.stringify(event));
  texts.push(
    JSON.stringify(await calls.listRegistryLogins({})),
    JSON.stringify(await calls.getService({ service: "shop_web" })),
  );
  for (const password of PASSWORDS) expect(texts.join("\n")).not.toContain(password);

  const completeSets = web.completeSets;
  await server.stop();
  await eventually("the node has the logins of the next leader", () => {
    return web.completeSets > completeSets && passwordsOf(web).join() === both;
  });
  await follower.calls.removeServices({ services: [], stack: "shop" });
  await eventually("the node has no login", () => web.logins.size === 0);
  expect((await follower.calls.listRegistryLogins({})).logins).toMatchObject([{ server: SERVER, stack: "" }]);
  await follower.calls.removeRegistryLogin({ server: SERVER, stack: "" });
  expect(await storedText()).not.toContain(`${ROOT}logins/`);
  expect(other.received.flatMap(({ registryLogins }) => registryLogins)).toEqual([]);
});

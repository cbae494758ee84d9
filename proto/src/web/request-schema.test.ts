import { expect, test } from "vitest";
import { OPENAPI_TEXT } from "../../gen/openapi.js";
import { API_METHODS } from "./api-methods.js";
import { RequestSchemas } from "./request-schema.js";

const schemas = new RequestSchemas();

async function problem(type: string, value: unknown): Promise<string> {
  return schemas.requireMessage(type, value).then(
    () => "",
    (error: Error) => error.message,
  );
}

test("the document describes each method that users may call over HTTP", () => {
  const { paths } = JSON.parse(OPENAPI_TEXT);
  const session = ["/api/login", "/api/logout", "/api/session"];
  expect(Object.keys(paths).sort()).toEqual(
    [...session, ...[...API_METHODS.keys()].map((name) => `/api/${name}`)].sort(),
  );
  expect(paths["/api/ScaleServices"].post["x-berth-roles"]).toEqual(["deployer", "admin"]);
  expect(paths["/api/WatchCluster"].get.description).toContain("Streams a view of the whole cluster");
});

test.each(["PushImage", "RenewCertificate", "CreateLogin", "Join", "RedeemLogin", "AddEtcdMember"])(
  "%s is not part of the HTTP API",
  (name) => {
    expect(API_METHODS.has(name)).toBe(false);
  },
);

test("an empty object is a request of each method", async () => {
  for (const name of API_METHODS.keys()) expect(await problem(`${name}Request`, {})).toBe("");
});

test.each([
  [
    "ScaleServicesRequest",
    { services: [{ service: "web", replicas: -1 }] },
    "services.0.replicas must be >= 0",
  ],
  ["ScaleServicesRequest", { services: {} }, "services must be array"],
  ["ScaleServicesRequest", { service: "web" }, 'the request has no field "service"'],
  ["UpdateNodeRequest", { availability: "DRAIN" }, "availability must be one of AVAILABILITY_UNSPECIFIED"],
  ["UpdateNodeRequest", { addLabels: { zone: 1 } }, "addLabels.zone must be string"],
  [
    "UpdateNodeRequest",
    { addLabels: JSON.parse('{"__proto__":"a"}') },
    "addLabels property name must be valid",
  ],
  ["ExecRequest", { input: { stdin: "a b!" } }, "input.stdin must match pattern"],
  ["ListEventsRequest", {}, "no schema for ListEventsRequest"],
  ["ExecRequest", { start: {}, input: {} }, "must match exactly one schema"],
  ["WatchClusterRequest", { after: { epoch: 2 ** 60 } }, "after.epoch must be <="],
  ["WatchClusterRequest", [], "the request must be object"],
])("%s %j is refused", async (type, value, message) => {
  expect(await problem(type, value)).toContain(message);
});

test("all problems of a request are reported at once", async () => {
  const text = await problem("ScaleServicesRequest", { services: [{ service: 1, replicas: "2" }], more: 1 });
  for (const part of ["services.0.service", "services.0.replicas", '"more"']) expect(text).toContain(part);
});

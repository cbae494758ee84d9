import { ServiceSpec } from "@berth/proto";
import { isBerthError } from "../../../proto/src/errors.js";
import { API_METHODS } from "../../../proto/src/web/api-methods.js";
import { assertSameOrigin } from "../../../proto/src/web/request-checks.js";
import { RequestSchemas } from "../../../proto/src/web/request-schema.js";
import { formatPosition, parsePosition } from "../../../proto/src/web/watch-stream.js";
import { check, checkEqual, type IsRejection, unlessRejected } from "../engine/expect.js";
import type { Target } from "../engine/target.js";
import { SPEC } from "./samples.js";

const schemas = new RequestSchemas();

/** The sources have an error class of their own. */
const isTypedError: IsRejection = (error) => isBerthError(error) && error.code !== "BERTH_INTERNAL";

const REQUESTS: readonly (readonly [string, unknown])[] = [
  ["ScaleServices", { services: [{ service: "shop_web", replicas: 3 }] }],
  ["DeployStack", { stack: "shop", services: [ServiceSpec.toJSON(SPEC)], dryRun: true }],
  ["UpdateNode", { node: "h1", availability: "AVAILABILITY_DRAIN", addLabels: { zone: "a" } }],
  [
    "Exec",
    { start: { target: "shop_web.1", command: { command: ["sh"], tty: true, size: { columns: 80 } } } },
  ],
  ["Exec", { input: { stdin: "aGVsbG8K" } }],
  ["WatchCluster", { after: { epoch: 42, sequence: 7, revision: 9031, eventSequence: 8 }, hasTraffic: true }],
];

export const WEB_TARGETS: readonly Target[] = [
  {
    name: "web-request",
    format: "json",
    seeds: REQUESTS.map(([method, request]) => JSON.stringify({ method, request })),
    tokens: ["__proto__", "null", "1e999", "-0", "AVAILABILITY_DRAIN", "input", "start"],
    maxBytes: 64 * 1024,
    run: async (bytes) => {
      const input = unlessRejected(
        () => JSON.parse(bytes.toString()),
        (error) => error instanceof SyntaxError,
      );
      const { method: name, request }: { readonly method?: unknown; readonly request?: unknown } =
        Object(input);
      const method = typeof name === "string" ? API_METHODS.get(name) : undefined;
      if (method === undefined) return;
      const type = `${method.name}Request`;
      const isAccepted = await schemas.requireMessage(type, request).then(
        () => true,
        (error: unknown) => {
          check(isTypedError(error), "a request is refused with a code");
          return false;
        },
      );
      if (!isAccepted) return;
      const message = method.request.fromJSON(request);
      const json = method.request.toJSON(message);
      await schemas.requireMessage(type, JSON.parse(JSON.stringify(json)));
      checkEqual(method.request.fromJSON(json), message, "a request stays the same when it is encoded");
    },
  },
  {
    name: "web-headers",
    seeds: ["10.0.0.1:7406\nhttps://10.0.0.1:7406\n42.7.9031.8", "[::1]:7406\nnull\n1.2.3", "h1\n\n"],
    tokens: ["localhost", "https://", "@", "%", ":", "."],
    maxBytes: 4_096,
    run: (bytes) => {
      const [host = "", origin = "", id = ""] = bytes.toString().split("\n");
      const hostNames = new Set(["h1"]);
      const headers = { host, origin, "x-berth-api": "1" };
      const request = { method: "POST", headers, isWebSocket: false };
      const isAccepted = unlessRejected(
        () => assertSameOrigin(request, { scheme: "https", hostNames }) === undefined,
        isTypedError,
      );
      check(
        isAccepted !== true || origin === "" || origin === `https://${host}`,
        "an accepted request comes from the page",
      );
      const position = unlessRejected(() => parsePosition(id), isTypedError);
      if (position !== undefined)
        checkEqual(parsePosition(formatPosition(position)), position, "a position has one form");
    },
  },
];

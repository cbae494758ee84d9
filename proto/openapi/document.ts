import { PERMISSIONS } from "../src/rpc/permissions.js";
import { BERTH_VERSION } from "../src/version.js";
import { API_METHODS } from "../src/web/api-methods.js";
import type { DescriptorSet, MethodDescriptor } from "./descriptors.js";
import { commentsOf, renderSchemas, type Schema, schemaName, typeDefinitions } from "./schemas.js";

/** Numbers of fields in descriptor.proto. */
const FILE_SERVICE = 6;
const SERVICE_METHOD = 2;

const SERVICE = "ControlService";
const ERROR = { $ref: "#/components/schemas/Error" };

/** Returns the OpenAPI document of the HTTP API. */
export function renderOpenApi(descriptors: DescriptorSet): Schema {
  const methods = controlMethods(descriptors).filter(({ method }) => API_METHODS.has(method.name));
  const roots = methods.flatMap(({ method }) => [method.inputType, method.outputType]);
  const sessionRole = ".berth.v1.UserRole";
  return {
    openapi: "3.1.0",
    info: {
      title: "berth",
      version: BERTH_VERSION,
      description: "The HTTP API of a cluster. docs/web-api.md explains sessions, streams and the live view.",
    },
    paths: {
      ...SESSION_PATHS,
      ...Object.fromEntries(
        methods.map(({ method, comment }) => [`/api/${method.name}`, renderPath(method, comment)]),
      ),
    },
    components: {
      schemas: {
        ...SESSION_SCHEMAS,
        ...renderSchemas([...roots, sessionRole], typeDefinitions(descriptors)),
      },
      securitySchemes: { session: { type: "apiKey", in: "cookie", name: "__Host-berth-session" } },
    },
    security: [{ session: [] }],
  };
}

function controlMethods(
  descriptors: DescriptorSet,
): readonly { readonly method: MethodDescriptor; readonly comment: string }[] {
  return descriptors.file.flatMap((file) => {
    const commentOf = commentsOf(file);
    return (file.service ?? []).flatMap((service, index) => {
      if (service.name !== SERVICE) return [];
      return service.method.map((method, methodIndex) => ({
        method,
        comment: commentOf(FILE_SERVICE, index, SERVICE_METHOD, methodIndex),
      }));
    });
  });
}

function renderPath(method: MethodDescriptor, comment: string): Schema {
  const { name, inputType, outputType, clientStreaming, serverStreaming } = method;
  const roles = PERMISSIONS[`/berth.v1.${SERVICE}/${name}` as keyof typeof PERMISSIONS];
  const operation = {
    operationId: name,
    ...(comment !== "" && { description: comment }),
    "x-berth-roles": roles.filter((role) => ["viewer", "deployer", "admin"].includes(role)),
  };
  const request = json(refer(inputType));
  if (clientStreaming === true) {
    return {
      get: {
        ...operation,
        summary: "WebSocket. Each text message is one request or response as JSON.",
        "x-berth-request": refer(inputType),
        "x-berth-response": refer(outputType),
        responses: { "101": { description: "the WebSocket is open" }, default: FAILURE },
      },
    };
  }
  if (serverStreaming === true) {
    const content = { "text/event-stream": { schema: refer(outputType) } };
    return {
      get: {
        ...operation,
        parameters: [{ name: "request", in: "query", content: request }],
        responses: { "200": { description: "server-sent events", content }, default: FAILURE },
      },
    };
  }
  return {
    post: {
      ...operation,
      parameters: [API_HEADER],
      requestBody: { required: true, content: request },
      responses: { "200": { description: "success", content: json(refer(outputType)) }, default: FAILURE },
    },
  };
}

const refer = (typeName: string): Schema => ({ $ref: `#/components/schemas/${schemaName(typeName)}` });
const json = (schema: Schema): Schema => ({ "application/json": { schema } });

const FAILURE: Schema = { description: "the call failed", content: json(ERROR) };
const API_HEADER: Schema = { name: "X-Berth-Api", in: "header", required: true, schema: { const: "1" } };

const SESSION_RESPONSE: Schema = {
  description: "the session",
  content: json({ $ref: "#/components/schemas/Session" }),
};

/** The paths that are not methods of the protocol. */
const SESSION_PATHS: Readonly<Record<string, Schema>> = {
  "/api/login": {
    post: {
      operationId: "login",
      description: "Exchanges a one-time code for a session, and sets its cookie.",
      security: [],
      parameters: [API_HEADER],
      requestBody: { required: true, content: json({ $ref: "#/components/schemas/Login" }) },
      responses: { "200": SESSION_RESPONSE, default: FAILURE },
    },
  },
  "/api/logout": {
    post: {
      operationId: "logout",
      description: "Ends the session and its streams.",
      parameters: [API_HEADER],
      responses: { "204": { description: "success" }, default: FAILURE },
    },
  },
  "/api/session": {
    get: {
      operationId: "session",
      description: "Returns the session of the cookie.",
      responses: { "200": SESSION_RESPONSE, default: FAILURE },
    },
  },
};

const SESSION_SCHEMAS: Readonly<Record<string, Schema>> = {
  Error: {
    type: "object",
    properties: {
      error: {
        type: "object",
        properties: {
          code: { type: "string", description: 'Stable code, such as "BERTH_NOT_FOUND".' },
          message: { type: "string", description: "Shown to users." },
          details: { type: "object", additionalProperties: { type: "string" } },
        },
        required: ["code", "message", "details"],
      },
    },
    required: ["error"],
  },
  Login: {
    type: "object",
    additionalProperties: false,
    properties: { code: { type: "string" } },
    required: ["code"],
  },
  Session: {
    type: "object",
    properties: {
      user: { type: "string" },
      role: { $ref: "#/components/schemas/UserRole" },
      stacks: {
        type: "string",
        description: "Glob of the stacks that a deployer may change. Empty for all stacks.",
      },
      isReadOnly: { type: "boolean" },
      expiresAtMs: { type: "integer" },
    },
    required: ["user", "role", "stacks", "isReadOnly", "expiresAtMs"],
  },
};

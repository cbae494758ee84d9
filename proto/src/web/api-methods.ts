import * as messages from "../../gen/berth/v1/control.js";
import { ControlServiceService } from "../chunks/services.js";
import { limitsOf } from "../rpc/limits.js";
import { PERMISSIONS } from "../rpc/permissions.js";

export type Control = typeof ControlServiceService;

/** The JSON functions of a generated message type. */
interface MessageType {
  fromJSON(value: unknown): unknown;
  toJSON(message: unknown): unknown;
}

/** A method of the HTTP API. */
export interface ApiMethod {
  /** Name in the protocol, such as "ListServices". */
  readonly name: string;
  /** Name of the function of a client. */
  readonly key: keyof Control;
  readonly kind: "unary" | "events" | "socket";
  readonly request: MessageType;
  readonly response: MessageType;
  /** Whether viewers may call it. */
  readonly isForViewers: boolean;
  /** Limit of the request as JSON. Base64 takes a third more than bytes, and names of fields take space, too. */
  readonly maxRequestBytes: number;
}

const JSON_OVERHEAD = 2;

/**
 * Methods that are not part of the HTTP API. Uploads of images are too large for JSON. The others would turn a session
 * into a certificate, or into a session that never ends.
 */
const EXCLUDED: ReadonlySet<string> = new Set(["pushImage", "renewCertificate", "createLogin"]);

const USER_ROLES = ["viewer", "deployer", "admin"] as const;

/** The methods of the HTTP API, by name. The names of messages follow from those of methods, as `buf lint` checks. */
export const API_METHODS: ReadonlyMap<string, ApiMethod> = new Map(
  Object.entries(ControlServiceService).flatMap(([key, { path, requestStream, responseStream }]) => {
    const roles = PERMISSIONS[path as keyof typeof PERMISSIONS];
    if (EXCLUDED.has(key) || !USER_ROLES.some((role) => roles.includes(role))) return [];
    const name = path.slice(path.lastIndexOf("/") + 1);
    const method: ApiMethod = {
      name,
      key: key as keyof Control,
      kind: kindOf({ requestStream, responseStream }),
      request: messageType(`${name}Request`),
      response: messageType(`${name}Response`),
      isForViewers: roles.includes("viewer"),
      maxRequestBytes: JSON_OVERHEAD * limitsOf(path).request,
    };
    return [[name, method] as const];
  }),
);

/** Only a WebSocket can carry several requests. */
function kindOf(streams: {
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}): ApiMethod["kind"] {
  if (streams.requestStream) return "socket";
  return streams.responseStream ? "events" : "unary";
}

function messageType(name: string): MessageType {
  const type = (messages as unknown as Readonly<Record<string, MessageType | undefined>>)[name];
  if (type === undefined) throw new Error(`no message ${name}`);
  return type;
}

import { computed, effect, signal } from "@preact/signals";
import { type JsonObject, readBoolean, readNumber, readText } from "../core/json.js";
import { call, fetchSession, unauthenticated } from "./api.js";
import { ApiError, errorText } from "./api-error.js";
import { ClusterFeed } from "./cluster-feed.js";

/** The session of the user. */
export type Session =
  | { readonly kind: "loading" }
  | { readonly kind: "logged-out"; readonly reason: string }
  | {
      readonly kind: "logged-in";
      readonly user: string;
      /** "viewer", "deployer" or "admin". */
      readonly role: string;
      readonly isReadOnly: boolean;
      /** 0 when the session does not expire. */
      readonly expiresAtMs: number;
    };

export const session = signal<Session>({ kind: "loading" });

/** Whether the user may change something. The server checks each call. */
export const canChange = computed(
  () => session.value.kind === "logged-in" && !session.value.isReadOnly && session.value.role !== "viewer",
);

/** The fragment of a link that logs in: "#login=CODE", or "#login=CODE&view=present". */
const LOGIN_PREFIX = "#login=";
/** Delay before another attempt to continue the session. */
const RETRY_MS = 2_000;

/** Logs in with the code in the URL, if it has one, or continues the session of the browser. */
export function startSession(): void {
  const fragment = location.hash;
  effect(() => {
    if (unauthenticated.value > 0) session.value = { kind: "logged-out", reason: "" };
  });
  addEventListener("hashchange", () => {
    if (location.hash.startsWith(LOGIN_PREFIX)) void logInWithFragment(location.hash);
  });
  void (fragment.startsWith(LOGIN_PREFIX) ? logInWithFragment(fragment) : resume());
}

async function logInWithFragment(fragment: string): Promise<void> {
  const parameters = new URLSearchParams(fragment.slice(1));
  // The code is worthless after this, but must not stay in the history of the browser.
  location.replace(`#/${parameters.get("view") ?? ""}`);
  await logIn(parameters.get("login") ?? "");
}

/** Exchanges a one-time code for a session. */
export async function logIn(code: string): Promise<void> {
  try {
    begin(await call("login", { code }));
  } catch (error) {
    session.value = { kind: "logged-out", reason: errorText(error) };
  }
}

export async function logOut(): Promise<void> {
  await call("logout", {}).catch(() => {});
  feed?.close();
  session.value = { kind: "logged-out", reason: "You have logged out." };
}

async function resume(): Promise<void> {
  try {
    begin(await fetchSession());
  } catch (error) {
    if (error instanceof ApiError && error.isUnauthenticated) {
      session.value = { kind: "logged-out", reason: "" };
    } else {
      setTimeout(resume, RETRY_MS);
    }
  }
}

let feed: ClusterFeed | undefined;

function begin(json: JsonObject): void {
  session.value = {
    kind: "logged-in",
    user: readText(json, "user"),
    role: readText(json, "role").replace("USER_ROLE_", "").toLowerCase(),
    isReadOnly: readBoolean(json, "isReadOnly"),
    expiresAtMs: readNumber(json, "expiresAtMs"),
  };
  feed?.close();
  feed = new ClusterFeed();
}

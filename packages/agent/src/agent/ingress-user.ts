import { assertNever, BerthError } from "@berth/proto";
import type { Logger } from "pino";
import { commandAs, type IngressUser, ownUser } from "../dataplane/ingress-privileges.js";
import { PROBE_DENIED, PROBE_FLAG } from "../dataplane/probe-privileges.js";
import { ENTRY_PATH } from "../dataplane/spawn-ingress.js";
import { failureOf, type ProgramResult, type RunProgram, runProgram } from "../runtime/run-program.js";

/**
 * The default user of the ingress process, which needs no account. Neither Debian nor systemd assigns this ID
 * (https://systemd.io/UIDS-GIDS).
 */
export const DEFAULT_USER: IngressUser = { uid: 61_153, gid: 61_153 };
/** Timeout of the probe process. It takes about 0.2 s to load, and much longer on an overloaded host. */
const PROBE_TIMEOUT_MS = 20_000;

/** The user that the ingress process runs as, and why. */
export type ChosenUser =
  /** A dedicated user with few capabilities. */
  | { readonly kind: "unprivileged"; readonly user: IngressUser }
  /** The agent's user, as configured. */
  | { readonly kind: "privileged"; readonly user: IngressUser }
  /** The agent's user, because this host cannot run the process as another user. */
  | { readonly kind: "fallback"; readonly user: IngressUser; readonly reason: string };

interface Host {
  readonly run: RunProgram;
  readonly own: IngressUser;
}

/**
 * Selects the user of the ingress process.
 *
 * @param name of the user; "root" for the agent's own user; empty for {@link DEFAULT_USER} where this host allows it
 * @throws BerthError BERTH_INGRESS_FAILED if this host has no user of this name, or cannot run the process as that user
 */
export async function chooseIngressUser(
  name: string,
  signal: AbortSignal,
  { run, own }: Host = { run: runProgram, own: ownUser() },
): Promise<ChosenUser> {
  const user = name === "" ? DEFAULT_USER : await findUser(name, signal, run);
  if (user.uid === own.uid || user.uid === 0) return { kind: "privileged", user: own };
  const problem = own.uid === 0 ? await findProblem(user, signal, run) : "the agent is not running as root";
  if (problem === undefined) return { kind: "unprivileged", user };
  if (name === "") return { kind: "fallback", user: own, reason: problem };
  throw ingressUserError(problem, name);
}

async function findUser(name: string, signal: AbortSignal, run: RunProgram): Promise<IngressUser> {
  const readId = async (flag: string): Promise<number> => {
    const result = await run("id", { args: [flag, "--", name], signal });
    if (result.kind === "done") return Number(result.stdout);
    throw ingressUserError(
      `${failureOf("id", result)}; add the user with useradd --system, or specify another user`,
      name,
    );
  };
  return { uid: await readId("-u"), gid: await readId("-g") };
}

/** Returns why this host cannot run the ingress process as the user, and how to fix it, or undefined if it can. */
async function findProblem(
  user: IngressUser,
  signal: AbortSignal,
  run: RunProgram,
): Promise<string | undefined> {
  const iptables = await run("iptables", { args: ["--version"], signal });
  // Its lock, /run/xtables.lock, can be opened by root only.
  if (iptables.kind === "done" && !iptables.stdout.includes("nf_tables")) {
    return "iptables-legacy requires root; install iptables-nft";
  }
  const [program = "", ...args] = commandAs(user, [process.execPath, ENTRY_PATH, PROBE_FLAG]);
  return probeProblem(await run(program, { args, signal, timeoutMs: PROBE_TIMEOUT_MS }));
}

/**
 * Returns why the probe of the ingress process failed, and how to fix it.
 *
 * @throws BerthError BERTH_INGRESS_FAILED if it did not end, for example on an overloaded host
 */
function probeProblem(result: ProgramResult): string | undefined {
  switch (result.kind) {
    case "done":
      return undefined;
    case "missing":
      return "setpriv is not installed; install util-linux";
    case "failed":
      if (result.exitCode === undefined) throw ingressUserError(result.reason);
      if (result.exitCode === PROBE_DENIED) return `it lacks permission to use ${result.reason}`;
      return `${result.reason}; install Node.js and berth where all users can read them, not below /root`;
    default:
      return assertNever(result);
  }
}

function ingressUserError(reason: string, name = ""): BerthError {
  const user = name === "" ? "a dedicated user" : `user "${name}"`;
  const message = `cannot run the ingress process as ${user}: ${reason}`;
  return new BerthError({ code: "BERTH_INGRESS_FAILED", message });
}

/** Logs the user of the ingress process, and the reason when it is the agent's user. */
export function logIngressUser(log: Pick<Logger, "info" | "warn">, chosen: ChosenUser): void {
  const { uid } = chosen.user;
  switch (chosen.kind) {
    case "unprivileged":
      log.info({ uid }, "the ingress process runs as a dedicated user");
      return;
    case "privileged":
      log.info({ uid }, "the ingress process runs as the agent's user, as configured");
      return;
    case "fallback":
      log.warn({ uid, reason: chosen.reason }, "the ingress process runs as the agent's user");
      return;
    default:
      assertNever(chosen);
  }
}

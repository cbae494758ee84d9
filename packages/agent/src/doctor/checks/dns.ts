import { assertNever } from "@berth/proto";
import { readField, readList, readNumber, readString } from "../../core/docker/json.js";
import { NETWORK_LABEL } from "../../core/docker/labels.js";
import { EngineClient } from "../../engine/dockerode/client.js";
import { type ProgramResult, runProgram } from "../../runtime/run-program.js";
import { type Check, type CheckContext, type Finding, failed, ok, skipped, warning } from "../check.js";

const TIMEOUT_MS = 5_000;
/** Maximum number of networks that are checked. A host's firewall treats all bridges alike, so a few are enough. */
const MAX_NETWORKS = 5;
/** A DNS query for the A record of "berth", in hexadecimal: header, name, type A, class IN. */
const DNS_QUERY_HEX = "0b0b010000010000000000000562657274680000010001";
const NO_RESPONSE = "no response";
/**
 * Sends a DNS query and exits with 0 when a response arrives. The host's Node.js runs it in the container's network
 * namespace, so the container's image needs no programs.
 */
const QUERY_SCRIPT = `
const [gateway, query] = process.argv.slice(1);
const socket = require("node:dgram").createSocket("udp4");
const end = (text, code) => { process.stderr.write(text); process.exit(code); };
socket.on("message", () => end("", 0)).on("error", ({ code }) => end(code, 1));
socket.connect(53, gateway, () => socket.send(Buffer.from(query, "hex")));
setTimeout(() => end("${NO_RESPONSE}", 1), 2000);`;

type Get = (path: string, query?: Readonly<Record<string, string>>) => Promise<unknown>;

/** Checks that containers reach this host's DNS server, by querying it from one container of each overlay network. */
export const checkDns: Check = async ({ dockerSocket, signal }) => {
  // Entering a container's network namespace requires root. The kernel check reports that.
  if (process.getuid?.() !== 0) return [];
  const client = new EngineClient(dockerSocket);
  const get: Get = (path, query = {}) =>
    client.request({ method: "GET", path, query, signal, timeoutMs: TIMEOUT_MS });
  const filters = JSON.stringify({ label: [NETWORK_LABEL] });
  const networks = readList(await get("/networks", { filters })).slice(0, MAX_NETWORKS);
  if (networks.length === 0) return [skipped("DNS", "not checked: this host has no overlay networks")];
  return Promise.all(networks.map((network) => checkNetwork(network, get, signal)));
};

async function checkNetwork(network: unknown, get: Get, signal: CheckContext["signal"]): Promise<Finding> {
  const name = readString(readField(network, "Name"));
  const [config] = readList(readField(readField(network, "IPAM"), "Config"));
  const gateway = readString(readField(config, "Gateway"));
  const processId = await findContainerProcess(name, get);
  if (processId === undefined) {
    return skipped(subjectOf(name), "not checked: no container is running in this network");
  }
  const args = [
    `--net=/proc/${processId}/ns/net`,
    process.execPath,
    "-e",
    QUERY_SCRIPT,
    gateway,
    DNS_QUERY_HEX,
  ];
  return evaluateQuery(name, await runProgram("nsenter", { args, signal }));
}

/** Returns the main process of a running container in a network, or undefined if there is none. */
async function findContainerProcess(network: string, get: Get): Promise<number | undefined> {
  const filters = JSON.stringify({ network: [network], status: ["running"] });
  const [container] = readList(await get("/containers/json", { limit: "1", filters }));
  if (container === undefined) return undefined;
  const inspected = await get(`/containers/${readString(readField(container, "Id"))}/json`);
  return readNumber(readField(readField(inspected, "State"), "Pid")) || undefined;
}

const subjectOf = (network: string): string => `DNS in ${network}`;

/** Evaluates the result of the query from a container of the network. */
export function evaluateQuery(network: string, result: ProgramResult): Finding {
  const subject = subjectOf(network);
  switch (result.kind) {
    case "done":
      return ok(subject, "containers reach this host's DNS server");
    case "missing":
      return warning(subject, "not checked: nsenter is not installed", "Install util-linux.");
    case "failed":
      return evaluateFailedQuery(subject, result.reason);
    default:
      return assertNever(result);
  }
}

function evaluateFailedQuery(subject: string, reason: string): Finding {
  if (reason.includes("ECONNREFUSED")) {
    return failed(
      subject,
      "no DNS server listens on this host's address in the network",
      "Check that berth agent is running. berth node inspect shows problems with port 53.",
    );
  }
  if (!reason.includes(NO_RESPONSE)) return skipped(subject, `not checked: ${reason}`);
  return failed(
    subject,
    "this host's firewall drops DNS queries from containers",
    "Allow UDP and TCP to port 53 from devices named bth*, for example: ufw allow in on DEVICE to any port 53.",
  );
}

import { fieldOf, listOf, numberOf, textOf } from "../../core/docker/json.js";
import { NETWORK_LABEL } from "../../core/docker/labels.js";
import { parseInspect } from "../../core/docker/observed-container.js";
import { EngineClient } from "../../engine/dockerode/client.js";
import { type ProgramResult, runProgram } from "../../runtime/run-program.js";
import type { Check } from "../check.js";
import { type Finding, failed, ok, warning } from "../finding.js";

const TIMEOUT_MS = 5_000;
/** A host's firewall treats all bridges alike; a few say enough. */
const MAX_NETWORKS = 5;
/** A question for the address of "berth": header, name, type A, class IN. */
const QUESTION = "0b0b01000001000000000000056265727468000001" + "0001";
/** Run in the container's network by this host's own Node: the container need not have any program. */
const ASK = `
const [gateway, question] = process.argv.slice(1);
const socket = require("node:dgram").createSocket("udp4");
const end = (text, code) => { process.stderr.write(text); process.exit(code); };
socket.on("message", () => end("", 0)).on("error", ({ code }) => end(code, 1));
socket.connect(53, gateway, () => socket.send(Buffer.from(question, "hex")));
setTimeout(() => end("silence", 1), 2000);`;

/** Whether containers reach the name server of this host, by asking it from inside one of each network. */
export const checkNames: Check = async ({ dockerSocket, signal }) => {
  if (process.getuid?.() !== 0) return [];
  const client = new EngineClient(dockerSocket);
  const get: Get = (path, query = {}) =>
    client.request({ method: "GET", path, query, signal, timeoutMs: TIMEOUT_MS });
  const filters = JSON.stringify({ label: [NETWORK_LABEL] });
  const networks = listOf(await get("/networks", { filters })).slice(0, MAX_NETWORKS);
  if (networks.length === 0) return [ok("names", "no network spans hosts here: nobody asks for names")];
  return Promise.all(
    networks.map(async (network) => {
      const name = textOf(fieldOf(network, "Name"));
      const [config] = listOf(fieldOf(fieldOf(network, "IPAM"), "Config"));
      const processId = await someProcessIn(name, get);
      if (processId === undefined) return ok(`names in ${name}`, "not tried: no container runs in it");
      const args = [`--net=/proc/${processId}/ns/net`, process.execPath, "-e", ASK];
      const asked = [...args, textOf(fieldOf(config, "Gateway")), QUESTION];
      return judgeAnswer(name, await runProgram("nsenter", { args: asked, signal }));
    }),
  );
};

type Get = (path: string, query?: Readonly<Record<string, string>>) => Promise<unknown>;

async function someProcessIn(network: string, get: Get): Promise<number | undefined> {
  const filters = JSON.stringify({ network: [network], status: ["running"] });
  const [container] = listOf(await get("/containers/json", { limit: "1", filters }));
  if (container === undefined) return undefined;
  const inspected = parseInspect(await get(`/containers/${textOf(fieldOf(container, "Id"))}/json`));
  return numberOf(inspected.processId) || undefined;
}

export function judgeAnswer(network: string, result: ProgramResult): Finding {
  const subject = `names in ${network}`;
  if (result.kind === "done") return ok(subject, "containers are answered");
  if (result.kind === "missing") {
    return warning(subject, "not tried: there is no nsenter", "apt-get install util-linux");
  }
  if (result.reason.includes("ECONNREFUSED")) {
    return failed(
      subject,
      "nobody answers at the host's address in it",
      "Is berth's agent running? berth node inspect says what keeps it from port 53.",
    );
  }
  if (!result.reason.includes("silence")) return warning(subject, `not tried: ${result.reason}`, "");
  return failed(
    subject,
    "the questions of containers do not arrive: a firewall of this host drops them",
    "Let UDP and TCP to port 53 in from devices bth*: ufw allow in on DEVICE to any port 53, or a rule of your own in the nftables chain that drops input.",
  );
}

import type { LabHost } from "../../../deploy/lab/lab-host.js";

/** Says to the ingress process what an agent of another release would; ends when it has been done. */
const ASK = `
const [path, program] = process.argv.slice(1);
const socket = require("node:net").connect(path);
let text = "";
socket.setEncoding("utf8").on("data", (chunk) => {
  text += chunk;
  if (text.includes('"kind":"done"')) process.exit(0);
  if (text.includes('"kind":"refused"')) process.exit(1);
});
socket.on("close", () => process.exit(2));
socket.write(JSON.stringify({ kind: "hand-over", id: 1, program: JSON.parse(program) }) + "\\n");
`;

/** Has a host's ingress process replaced by one of another release. @throws Error when it does not do so */
export async function replaceIngress(host: LabHost, release: string): Promise<void> {
  const [exec = "", entry = "", ...args] = host.processes("ingress")[0]?.argv ?? [];
  const dataDir = args[args.indexOf("--data-dir") + 1] ?? "";
  const own = args.filter((_, index) => {
    const isOf = (name: string): boolean => args[index] === name || args[index - 1] === name;
    return !isOf("--data-dir") && !isOf("--release") && args[index] !== "--inherit";
  });
  const program = { exec, entry, args: [...own, "--release", release] };
  const asked = [process.execPath, "-e", ASK, `${dataDir}/ingress.sock`, JSON.stringify(program)];
  const { code, stderr } = await host.exec(asked);
  if (code !== 0) throw new Error(`the ingress process of ${host.name} did not hand over: ${code} ${stderr}`);
}

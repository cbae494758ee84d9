import { parseArgs } from "node:util";

export const HELP = `usage: node test/vm.mjs [--cpus N] [--memory MIB] [--timeout SECONDS] [--log FILE] -- COMMAND [WORD...]

Runs a command in this checkout under Debian's own kernel, in an emulated machine: for what this machine's kernel
lacks (WireGuard). It sees this machine's files and changes none of them. Some thirty times slower. For root.

The first time, apt installs QEMU and fetches that kernel (70 MB) into /var/cache/berth-vm; it is not installed.

  --cpus N           of the emulated machine; 2 unless given
  --memory MIB       of the emulated machine; 6144 unless given
  --timeout SECONDS  after which it is switched off; 1800 unless given
  --log FILE         keeps what the kernel says

A single word is a line for the shell. Exits with the command's exit code.`;

export interface VmOptions {
  /** A line for the shell, in the checkout. */
  readonly command: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly timeoutMs: number;
  /** Where the kernel's messages are kept; undefined: they are thrown away. */
  readonly log: string | undefined;
}

export type ParsedArguments =
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly message: string }
  | { readonly kind: "run"; readonly options: VmOptions };

const SECOND_MS = 1_000;

export function parseArguments(words: readonly string[]): ParsedArguments {
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        help: { type: "boolean", short: "h", default: false },
        cpus: { type: "string", default: "2" },
        memory: { type: "string", default: "6144" },
        timeout: { type: "string", default: "1800" },
        log: { type: "string" },
      },
    });
    if (values.help) return { kind: "help" };
    if (positionals.length === 0) return { kind: "wrong", message: "no command is given" };
    const options = {
      command: positionals.length === 1 ? (positionals[0] ?? "") : positionals.map(quoted).join(" "),
      cpus: wholeNumber("--cpus", values.cpus),
      memoryMib: wholeNumber("--memory", values.memory),
      timeoutMs: wholeNumber("--timeout", values.timeout) * SECOND_MS,
      log: values.log,
    };
    return { kind: "run", options };
  } catch (error) {
    return { kind: "wrong", message: error instanceof Error ? error.message : String(error) };
  }
}

function wholeNumber(option: string, text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text))
    throw new Error(`${option} must be a whole number of at least 1, not "${text}"`);
  return Number(text);
}

/** As one word for a shell. */
const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** Why the machine cannot be given these folders; undefined when it can. */
export function pathProblem({
  checkout,
  temporary,
}: Record<"checkout" | "temporary", string>): string | undefined {
  // It is a word of the kernel's command line.
  if (/[\s"]/.test(checkout)) {
    return `the checkout is in ${JSON.stringify(checkout)}: the machine takes no path with spaces or quotes; move it`;
  }
  // It is a part of an option of QEMU's.
  if (temporary.includes(",")) {
    return `temporary files are in ${JSON.stringify(temporary)}: QEMU takes no path with a comma; set TMPDIR to another`;
  }
  return undefined;
}

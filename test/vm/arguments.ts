import { parseArgs } from "node:util";

export const HELP = `usage: node test/vm.mjs [--cpus N] [--memory MIB] [--timeout SECONDS] [--log FILE] -- COMMAND [WORD...]

Runs a command in this checkout under Debian's kernel, in an emulated machine. Use it for features that this machine's
kernel lacks, such as WireGuard. The emulated machine can read this machine's files, but not change them. It is about 30
times slower. Needs root.

The first run installs QEMU and downloads the kernel (70 MB) into /var/cache/berth-vm, without installing it.

  --cpus N           number of processors (default: 2)
  --memory MIB       memory (default: 6144)
  --timeout SECONDS  stop the machine after this time (default: 1800)
  --log FILE         write the kernel's log to FILE

A single argument is run by the shell. Exits with the command's exit code.`;

export interface VmOptions {
  /** Shell command, run in the checkout. */
  readonly command: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly timeoutMs: number;
  /** File for the kernel's log. Undefined to discard it. */
  readonly log: string | undefined;
}

export type ParsedArguments =
  | { readonly kind: "help" }
  | { readonly kind: "invalid"; readonly message: string }
  | { readonly kind: "run"; readonly options: VmOptions };

const SECOND_MS = 1_000;

export function parseArguments(argv: readonly string[]): ParsedArguments {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
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
    if (positionals.length === 0) return { kind: "invalid", message: "missing command" };
    const options = {
      command: positionals.length === 1 ? (positionals[0] ?? "") : positionals.map(quoted).join(" "),
      cpus: wholeNumber("--cpus", values.cpus),
      memoryMib: wholeNumber("--memory", values.memory),
      timeoutMs: wholeNumber("--timeout", values.timeout) * SECOND_MS,
      log: values.log,
    };
    return { kind: "run", options };
  } catch (error) {
    return { kind: "invalid", message: error instanceof Error ? error.message : String(error) };
  }
}

function wholeNumber(option: string, text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text))
    throw new Error(`invalid value "${text}" for ${option}: expected a positive whole number`);
  return Number(text);
}

/** Quotes an argument for a shell. */
const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** Returns why the emulated machine cannot use these directories, or undefined if it can. */
export function pathProblem({
  checkout,
  temporary,
}: Record<"checkout" | "temporary", string>): string | undefined {
  // The path is an argument of the kernel's command line.
  if (/[\s"]/.test(checkout)) {
    return `unsupported checkout path ${JSON.stringify(checkout)}: it contains spaces or quotes; move the checkout`;
  }
  // The path is part of a QEMU option.
  if (temporary.includes(",")) {
    return `unsupported temporary directory ${JSON.stringify(temporary)}: it contains a comma; set TMPDIR to another`;
  }
  return undefined;
}

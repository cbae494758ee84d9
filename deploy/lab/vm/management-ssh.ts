import { join } from "node:path";

/** Address of every virtual machine on its management network, which guest/network.sh also has. */
const MACHINE_ADDRESS = "169.254.77.2";

export interface SshOptions {
  /** Handle of the machine's network namespace, in which the management network is. */
  readonly netns: string;
  /** Socket of the connection that all commands share. */
  readonly connectionSocket: string;
  /** Directory with the lab's key and the machine's public key. */
  readonly keyDirectory: string;
}

/** Returns the command that connects to a machine, forwards unix sockets, and keeps the connection in the background. */
export function connectCommand(options: SshOptions, forwards: Readonly<Record<string, string>>): string[] {
  return [
    ...ssh(options),
    ...["-M", "-N", "-f", "-o", "ExitOnForwardFailure=yes", "-o", "StreamLocalBindUnlink=yes"],
    ...Object.entries(forwards).flatMap(([local, remote]) => ["-L", `${local}:${remote}`]),
    `root@${MACHINE_ADDRESS}`,
  ];
}

/** Returns the command that runs `argv` on a machine. */
export function remoteCommand(options: SshOptions, argv: readonly string[], hasTerminal: boolean): string[] {
  return [
    ...ssh(options),
    ...(hasTerminal ? ["-t"] : ["-T"]),
    `root@${MACHINE_ADDRESS}`,
    "--",
    ...argv.map(quote),
  ];
}

/** Returns the command that closes the shared connection. */
export function disconnectCommand(options: SshOptions): string[] {
  return [...ssh(options), "-O", "exit", `root@${MACHINE_ADDRESS}`];
}

function ssh({ netns, connectionSocket, keyDirectory }: SshOptions): string[] {
  const settings = {
    BatchMode: "yes",
    ControlPath: connectionSocket,
    GlobalKnownHostsFile: "/dev/null",
    IdentitiesOnly: "yes",
    IdentityFile: join(keyDirectory, "id_ed25519"),
    LogLevel: "ERROR",
    StrictHostKeyChecking: "yes",
    UserKnownHostsFile: join(keyDirectory, "known_hosts"),
    // An emulated machine needs seconds for the key exchange.
    ConnectTimeout: "60",
    // A machine without power closes no connection.
    ServerAliveInterval: "30",
  };
  return [
    ...["nsenter", `--net=${netns}`, "ssh", "-F", "none"],
    ...Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]),
  ];
}

/** Quotes a word for the shell of the machine, which ssh runs. */
function quote(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Returns the line of `known_hosts` for a machine's public key. */
export function knownHost(publicKey: string): string {
  const [type = "", key = ""] = publicKey.split(" ");
  return `${MACHINE_ADDRESS} ${type} ${key.trim()}\n`;
}

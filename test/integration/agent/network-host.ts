import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { type AssignedNetwork, DnsEndpoint } from "@berth/proto";
import { pino } from "pino";
import type { Lab } from "../../../deploy/lab/lab.js";
import { run } from "../../../deploy/lab/run.js";
import { networkWith } from "../../../packages/agent/src/core/networks/testing.js";
import { DockerodeEngine } from "../../../packages/agent/src/engine/dockerode/dockerode-engine.js";
import { linuxNetworkDevices } from "../../../packages/agent/src/networks/host-networking.js";
import { NetworkReconciler } from "../../../packages/agent/src/networks/network-reconciler.js";
import { keyFrom, type WireguardKey } from "../../../packages/agent/src/networks/wireguard-key.js";
import type { RunProgram } from "../../../packages/agent/src/runtime/run-program.js";
import { eventually } from "../../harness/eventually.js";
import { withUserspaceWireguard } from "./encryption.js";
import { IMAGE, RUN_UNTIL_STOPPED } from "./specs.js";

const exec = promisify(execFile);

export interface HostOptions {
  /** A new one unless given. */
  readonly wireguardKey?: WireguardKey;
  /** false: WireGuard's own program stands in for the kernel. */
  readonly hasKernelWireguard?: boolean;
}

const newKey = (): WireguardKey => keyFrom(randomBytes(32).toString("base64"));

/** A Docker host of a lab with the part of an agent that makes networks. */
export class NetworkHost {
  readonly name: string;
  readonly address: string;
  readonly keeper: NetworkReconciler;
  readonly wireguardKey: WireguardKey;
  readonly #host: Lab["hosts"][number];
  readonly #index: number;
  readonly #stopping = new AbortController();
  readonly #engine: DockerodeEngine;
  #running: Promise<void> = Promise.resolve();

  constructor(
    lab: Lab,
    index: number,
    { wireguardKey = newKey(), hasKernelWireguard: hasWireguard = true }: HostOptions = {},
  ) {
    this.wireguardKey = wireguardKey;
    this.#host = lab.host(`h${index + 1}`);
    this.#index = index;
    this.name = this.#host.name;
    this.address = this.#host.address;
    this.#engine = new DockerodeEngine(this.#host.dockerSocket);
    this.keeper = new NetworkReconciler({
      engine: this.#engine,
      devices: linuxNetworkDevices({
        run: hasWireguard ? this.runProgram : withUserspaceWireguard(this.runProgram),
        wireguardPrivateKey: wireguardKey.privateKey,
      }),
      host: {
        address: this.address,
        overlayProblem: "",
        encryptionProblem: "",
        wireguardPublicKey: wireguardKey.publicKey,
      },
      log: pino({ level: "silent" }),
      onChange: () => {},
    });
  }

  async start(): Promise<void> {
    await this.#engine.connect({ signal: this.#stopping.signal });
    this.keeper.engineConnected();
    this.#running = this.keeper.run(this.#stopping.signal);
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** The power fails and comes back. */
  async powerCycle(): Promise<void> {
    this.keeper.engineDisconnected();
    await this.#host.kill();
    await this.#host.start();
    this.keeper.engineConnected();
  }

  /** As this host sees the network that it shares with others. */
  assignmentOf(base: AssignedNetwork, hosts: readonly NetworkHost[]): AssignedNetwork {
    const prefix = base.subnet.split(".").slice(0, 2).join(".");
    const part = `${prefix}.${this.#index + 1}`;
    const peers = hosts.filter((host) => host !== this);
    return {
      ...networkWith({ ...base, spec: base.spec ?? {} }),
      range: `${part}.0/25`,
      gateway: `${part}.1`,
      peers: peers.map(({ name, address, wireguardKey: { publicKey } }) => ({
        nodeId: name,
        address,
        wireguardPublicKey: publicKey,
      })),
    };
  }

  async waitUntilReady(networkId: string): Promise<void> {
    const state = (): string => this.keeper.states.get(networkId)?.kind ?? "unknown";
    await eventually(`${networkId} is ready on ${this.name}`, () => state() === "ready").catch((error) => {
      throw new Error(`${error}: ${JSON.stringify([...this.keeper.states])}`);
    });
  }

  async docker(...args: string[]): Promise<string> {
    const { stdout } = await exec("docker", ["-H", `unix://${this.#host.dockerSocket}`, ...args]);
    return stdout.trim();
  }

  /** Starts a container in a network and returns its address there. */
  async startContainer(
    network: string,
    name: string,
    command: readonly string[] = RUN_UNTIL_STOPPED,
  ): Promise<string> {
    await this.docker("run", "-d", "--name", name, "--network", network, IMAGE, ...command);
    return this.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name);
  }

  /** Where a container is in its network, as the leader is told. */
  async endpointOf(name: string): Promise<DnsEndpoint> {
    const format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.MacAddress}}{{end}}";
    const [address = "", macAddress = ""] = (await this.docker("inspect", "-f", format, name)).split(" ");
    return DnsEndpoint.fromPartial({ nodeId: this.name, taskId: name, address, macAddress });
  }

  /** Whether a container reaches an address with packets that have so many bytes of payload. */
  async canPing(container: string, address: string, payloadBytes = 56): Promise<boolean> {
    const words = ["busybox", "ping", "-c", "1", "-W", "2", "-s", String(payloadBytes), address];
    return this.docker("exec", container, ...words).then(
      () => true,
      () => false,
    );
  }

  /** Runs a program on the host and returns what it prints, whatever its exit code. */
  async run(...argv: string[]): Promise<string> {
    const { stdout, stderr } = await this.#host.exec(argv);
    return `${stdout}${stderr}`;
  }

  /** Runs a program on the host as the agent would. */
  readonly runProgram: RunProgram = async (program, { args, signal, input = "" }) => {
    const { code, stdout, stderr } = await run(this.#host.commandInside([program, ...args]), {
      signal,
      input,
    });
    return code === 0 ? { kind: "done", stdout } : { kind: "failed", reason: stderr.trim() };
  };
}

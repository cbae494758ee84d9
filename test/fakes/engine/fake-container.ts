import { randomBytes } from "node:crypto";
import { frame } from "./frame.js";

/** The fields of Docker's create body that the fake uses. */
export interface FakeBody {
  readonly Image: string;
  readonly Labels?: Record<string, string>;
  readonly Tty?: boolean;
  readonly StopTimeout?: number;
  readonly HostConfig?: {
    readonly PortBindings?: Record<string, readonly FakeBinding[]>;
    readonly NetworkMode?: string;
  };
}

interface FakeBinding {
  readonly HostIp: string;
  readonly HostPort: string;
}

/** A container without a process. */
export class FakeContainer {
  readonly id = randomBytes(32).toString("hex");
  readonly name: string;
  readonly body: FakeBody;
  state: "created" | "running" | "exited" = "created";
  exitCode = 0;
  /** The container's address in each network, by network name. */
  readonly networks = new Map<string, string>();
  startedAt = "0001-01-01T00:00:00Z";
  readonly log: { readonly stream: 1 | 2; readonly text: string }[] = [];

  constructor(name: string, body: FakeBody) {
    this.name = name;
    this.body = body;
  }

  get labels(): Record<string, string> {
    return this.body.Labels ?? {};
  }

  inspect(): object {
    return {
      Id: this.id,
      Name: `/${this.name}`,
      State: {
        Status: this.state,
        ExitCode: this.exitCode,
        Error: "",
        OOMKilled: false,
        StartedAt: this.startedAt,
      },
      Config: { Labels: this.labels, Tty: this.body.Tty ?? false, StopTimeout: this.body.StopTimeout },
      NetworkSettings: { Ports: this.state === "running" ? this.#ports() : {}, Networks: this.#networks() },
    };
  }

  summary(): object {
    const Status = this.state === "running" ? "Up 1 second" : "Exited (0) 1 second ago";
    return { Id: this.id, Names: [`/${this.name}`], Labels: this.labels, State: this.state, Status };
  }

  /** Returns the log in Docker's framing. Long lines are in pieces, each with a timestamp. */
  framedLog(): Buffer {
    const frames = this.log.flatMap(({ stream, text }) => {
      const pieces = `${text}\n`.match(/.{1,16384}/gs) ?? [];
      return pieces.map((piece) => frame(stream, Buffer.from(`${new Date().toISOString()} ${piece}`)));
    });
    return Buffer.concat(frames);
  }

  #networks(): Record<string, object> {
    const isUp = this.state === "running";
    return Object.fromEntries(
      [...this.networks].map(([name, address]) => [name, { IPAddress: isUp ? address : "" }]),
    );
  }

  #ports(): Record<string, readonly FakeBinding[]> {
    const bindings = Object.entries(this.body.HostConfig?.PortBindings ?? {});
    const withPorts = bindings.map(([key, list]) => [
      key,
      list.map((binding) => ({ ...binding, HostPort: binding.HostPort || "40000" })),
    ]);
    return Object.fromEntries(withPorts);
  }
}

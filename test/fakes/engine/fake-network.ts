import { randomBytes } from "node:crypto";

/** The fields of Docker's network create body that the fake uses. */
export interface FakeNetworkBody {
  readonly Name: string;
  readonly Labels?: Record<string, string>;
  readonly IPAM: { readonly Config: readonly { readonly IPRange: string }[] };
}

/** A network without connectivity. */
export class FakeNetwork {
  readonly id = randomBytes(32).toString("hex");
  readonly body: FakeNetworkBody;
  #lastHost = 1;

  constructor(body: FakeNetworkBody) {
    this.body = body;
  }

  get name(): string {
    return this.body.Name;
  }

  /** Returns the next address of the network's range. Addresses are never reused. */
  nextAddress(): string {
    this.#lastHost += 1;
    const range = this.body.IPAM.Config[0]?.IPRange ?? "";
    return range.replace(/\.\d+\/.*$/, `.${this.#lastHost}`);
  }

  summary(): object {
    return { Id: this.id, Name: this.name, Driver: "bridge", Labels: this.body.Labels ?? {} };
  }
}

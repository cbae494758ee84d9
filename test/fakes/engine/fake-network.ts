import { randomBytes } from "node:crypto";

/** The part of Docker's body for a new network that the fake looks at. */
export interface FakeNetworkBody {
  readonly Name: string;
  readonly Labels?: Record<string, string>;
  readonly IPAM: { readonly Config: readonly { readonly IPRange: string }[] };
}

/** A network that joins nothing. */
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

  /** The next address of its range: it is given back to nobody. */
  nextAddress(): string {
    this.#lastHost += 1;
    const range = this.body.IPAM.Config[0]?.IPRange ?? "";
    return range.replace(/\.\d+\/.*$/, `.${this.#lastHost}`);
  }

  summary(): object {
    return { Id: this.id, Name: this.name, Driver: "bridge", Labels: this.body.Labels ?? {} };
  }
}

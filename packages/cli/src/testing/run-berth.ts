import { run } from "../main.js";
import { type FakeCliOptions, fakeCli } from "./fake-cli.js";
import { type FakeControlHandlers, startFakeControl } from "./fake-control.js";

export interface BerthResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line, split at spaces, against a server with these handlers. */
export async function berth(
  line: string,
  handlers: FakeControlHandlers = {},
  options: FakeCliOptions = {},
): Promise<BerthResult> {
  const server = await startFakeControl(handlers);
  try {
    const cli = fakeCli({ ...options, env: { BERTH_SERVER: server.address, ...options.env } });
    const code = await run(
      line.split(" ").filter((word) => word !== ""),
      cli,
    );
    return { code, out: cli.out(), err: cli.err() };
  } finally {
    await server.close();
  }
}

import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { parseTimeoutMs } from "../../options/parse-options.js";
import { authorityId, authorityJson, authorityRows } from "../../output/authorities.js";
import { printJson } from "../../output/print.js";
import { styled } from "../../output/style.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { etcdRotationProgress, rotationProgress } from "./rotation-progress.js";
import { waitForRotation } from "./wait-for-rotation.js";

export interface RotateAuthorityOptions extends GlobalOptions {
  readonly detach?: boolean;
  /** Whether to replace the CA of etcd. */
  readonly etcd?: boolean;
  readonly timeout: string;
}

/**
 * `berth ca rotate [--etcd]`: creates the next CA. Waits until the connected nodes have certificates from it; with
 * `--etcd`, until all etcd members trust no other CA.
 */
export async function rotateAuthority(cli: Cli, options: RotateAuthorityOptions): Promise<void> {
  const timeoutMs = parseTimeoutMs(options.timeout);
  const isJson = options.output === "json";
  const terminal = isJson ? cli.stderr : cli.stdout;
  await withClient(cli, options, async (client) => {
    const { fingerprint } = await retryDuringElection(cli, () =>
      options.etcd
        ? client.rotateEtcdAuthority({}, { signal: cli.signal })
        : client.rotateAuthority({}, { signal: cli.signal }),
    );
    const id = authorityId({ fingerprint });
    if (options.detach) {
      if (isJson) {
        printJson(cli, { fingerprint });
      } else {
        terminal.write(`${id}\n`);
      }
      return;
    }
    terminal.write(`Created CA ${id}\n`);
    const progressOf = options.etcd ? etcdRotationProgress : rotationProgress;
    const wait = { fingerprint, progressOf, timeoutMs, terminal };
    const authorities = authorityRows(await waitForRotation(cli, client, wait));
    terminal.write(`${styled(cli, terminal, "green", "Rotated")} to CA ${id}\n`);
    if (isJson) printJson(cli, { fingerprint, authorities: authorities.map(authorityJson) });
  });
}

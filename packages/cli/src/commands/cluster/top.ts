import type { WatchStatsResponse } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { resumeStream } from "../../client/leader-change.js";
import { FullScreen } from "../../output/full-screen.js";
import { type StatsSort, statsJson, statsLines } from "../../output/stats-table.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** Interval between two samples. */
const INTERVAL_MS = 2_000;

/** Number of rows of a terminal whose size is unknown. */
const DEFAULT_ROWS = 24;

const SORT_KEYS: ReadonlyMap<string, StatsSort> = new Map<string, StatsSort>([
  ["c", "cpu"],
  ["m", "mem"],
  ["n", "net"],
]);

const CTRL_C = "\x03";

export interface TopOptions extends GlobalOptions {
  readonly service?: string;
  readonly node?: string;
  readonly once?: boolean;
  readonly sort: StatsSort;
}

/** `berth top`: redraws the usage of nodes and tasks on a terminal, otherwise prints one table per sample. */
export async function showTop(cli: Cli, options: TopOptions): Promise<void> {
  const { service = "", node = "", once = false } = options;
  const quit = new AbortController();
  const signal = AbortSignal.any([cli.signal, quit.signal]);
  const isLive = cli.stdout.isTty && !once && options.output !== "json";
  await withClient(cli, options, async (client) => {
    const open = () => client.watchStats({ service, node, intervalMs: INTERVAL_MS }, { signal });
    const view = isLive ? openLiveView(cli, options, () => quit.abort()) : createPlainView(cli, options);
    try {
      for await (const stats of once ? open() : resumeStream(cli, open, signal)) {
        view.show(stats);
        if (once) return;
      }
    } catch (error) {
      if (!quit.signal.aborted) throw error;
    } finally {
      view.close();
    }
  });
}

/** Displays the samples. */
interface View {
  show(stats: WatchStatsResponse): void;
  /** Restores the terminal. */
  close(): void;
}

function createPlainView(cli: Cli, options: TopOptions): View {
  const { sort } = options;
  return {
    show: (stats) => {
      const isJson = options.output === "json";
      const lines = isJson ? [JSON.stringify(statsJson(stats, sort))] : statsLines(stats, { sort });
      cli.stdout.write(`${lines.join("\n")}\n${isJson || options.once ? "" : "\n"}`);
    },
    close: () => {},
  };
}

/** Opens a view that redraws the whole screen. Keys change the sort order. */
function openLiveView(cli: Cli, options: TopOptions, quit: () => void): View {
  const { streams } = cli;
  const screen = new FullScreen(cli.stdout);
  const closed = new AbortController();
  let { sort } = options;
  let latest: WatchStatsResponse | undefined;
  const draw = (): void => {
    const rows = streams.size()?.rows ?? DEFAULT_ROWS;
    if (latest !== undefined) screen.draw(statsLines(latest, { sort, rows, columns: cli.stdout.columns }));
  };
  const onKey = (key: string): void => {
    if (key === "q" || key === CTRL_C) quit();
    sort = SORT_KEYS.get(key) ?? sort;
    draw();
  };
  screen.open();
  streams.setRawMode(true);
  const stopListening = [streams.onResize(draw), streams.onSignal(quit, ["SIGINT", "SIGTERM"])];
  // Input that fails belongs to a terminal that is gone.
  if (streams.isInputTty) readKeys(cli, onKey, closed.signal).catch(quit);
  return {
    show: (stats) => {
      latest = stats;
      draw();
    },
    close: () => {
      for (const stop of stopListening) stop();
      streams.setRawMode(false);
      closed.abort();
      screen.close();
    },
  };
}

async function readKeys({ streams }: Cli, onKey: (key: string) => void, signal: AbortSignal): Promise<void> {
  for await (const bytes of streams.input(signal)) {
    for (const key of Buffer.from(bytes).toString("latin1")) onKey(key);
  }
}
